// Draws a molecule on a canvas: bonds as sticks, far ones first and paler; drag turns, + and - or Ctrl and the wheel zoom, and a
// choice of colours. A wheel without Ctrl and a swipe up or down scroll the page. No library.
"use strict";
function showMolecule([canvas, choice, legend, bar, nearer, farther], molecule) {
  const context = canvas.getContext("2d");
  const count = molecule.positions.length;
  let turn = [1, 0, 0, 0, 1, 0, 0, 0, 1];
  let zoom = 1;
  let ratio = 2; // pixels of the canvas to one of the page
  let held = null; // where the pointer was
  let { colors, scale } = molecule.colorings[0];
  const reach = Math.max(1, ...molecule.positions.map((place) => Math.hypot(...place)));

  function rotate(matrix, place) {
    const [x, y, z] = place;
    return [
      matrix[0] * x + matrix[1] * y + matrix[2] * z,
      matrix[3] * x + matrix[4] * y + matrix[5] * z,
      matrix[6] * x + matrix[7] * y + matrix[8] * z,
    ];
  }

  function combine(right, up) {
    const [a, b, c, d] = [Math.cos(right), Math.sin(right), Math.cos(up), Math.sin(up)];
    const step = [a, 0, b, b * d, c, -a * d, -b * c, d, a * c];
    turn = [0, 1, 2].flatMap((i) => [0, 1, 2].map((j) => {
      return step[3 * i] * turn[j] + step[3 * i + 1] * turn[3 + j] + step[3 * i + 2] * turn[6 + j];
    }));
  }

  function fade(color, depth) {
    const most = scale.length ? 0.25 : 0.7; // a colour that stands for a number must stay what it is
    const share = most * Math.min(1, Math.max(0, 0.5 - (0.7 * depth) / reach));
    const mixed = [1, 3, 5].map((k) => {
      const value = parseInt(color.slice(k, k + 2), 16);
      return Math.round(value + share * (255 - value));
    });
    return `rgb(${mixed.join(",")})`;
  }

  function drawDot(point, size, color) {
    context.fillStyle = color;
    context.beginPath();
    context.arc(point[0], point[1], size, 0, 2 * Math.PI);
    context.fill();
  }

  function drawHalf(from, to, width, color) {
    context.strokeStyle = color;
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(from[0], from[1]);
    context.lineTo(to[0], to[1]);
    context.stroke();
  }

  function resize() {
    const width = canvas.clientWidth || 700;
    ratio = Math.max(2, window.devicePixelRatio || 1); // twice as sharp as the screen: a page is printed, too
    canvas.width = Math.round(ratio * width);
    canvas.height = Math.round(0.69 * ratio * width);
  }

  function draw() {
    const size = (0.46 * zoom * Math.min(canvas.width, canvas.height)) / reach;
    const points = molecule.positions.map((place) => {
      const [x, y, z] = rotate(turn, place);
      return [canvas.width / 2 + size * x, canvas.height / 2 - size * y, z];
    });
    const width = ratio * Math.min(7, Math.max(0.75, (0.28 * size) / ratio));
    const parts = molecule.bonds.map(([i, j]) => [0.5 * (points[i][2] + points[j][2]), i, j]);
    for (let i = 0; i < count; i++) parts.push([points[i][2] + 0.01, i, -1]);
    parts.sort((one, other) => one[0] - other[0]);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.lineCap = "butt";
    for (const [depth, i, j] of parts) {
      if (j < 0) {
        drawDot(points[i], 0.5 * width * molecule.sizes[i], fade(colors[i], depth));
      } else {
        const middle = [0, 1].map((k) => 0.5 * (points[i][k] + points[j][k]));
        drawHalf(points[i], middle, width, fade(colors[i], depth));
        drawHalf(middle, points[j], width, fade(colors[j], depth));
      }
    }
    context.fillStyle = "#222";
    context.strokeStyle = "#fff";
    context.lineWidth = 3 * ratio;
    context.font = `${12 * ratio}px sans-serif`;
    for (const i of molecule.named) {
      const across = points[i][0] + 4 * ratio;
      const most = canvas.width - context.measureText(molecule.names[i]).width - 2 * ratio; // not beyond the edge
      context.strokeText(molecule.names[i], Math.min(across, most), points[i][1] - 4 * ratio); // paper around the letters
      context.fillText(molecule.names[i], Math.min(across, most), points[i][1] - 4 * ratio);
    }
    canvas.dataset.drawn = String(parts.length);
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary) return;
    canvas.setPointerCapture(event.pointerId);
    held = [event.clientX, event.clientY];
  });
  canvas.addEventListener("pointermove", (event) => {
    if (held === null || !event.isPrimary) return;
    combine(0.01 * (event.clientX - held[0]), 0.01 * (event.clientY - held[1]));
    held = [event.clientX, event.clientY];
    draw();
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { held = null; });

  function enlarge(factor) {
    zoom = Math.min(20, Math.max(0.3, zoom * factor));
    draw();
  }

  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
    event.preventDefault();
    enlarge(Math.exp(-0.001 * event.deltaY));
  }, { passive: false });
  nearer.addEventListener("click", () => enlarge(1.3));
  farther.addEventListener("click", () => enlarge(1 / 1.3));
  canvas.addEventListener("keydown", (event) => {
    const turns = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
    if (event.key in turns) combine(...turns[event.key]);
    else if (event.key !== "+" && event.key !== "-") return;
    event.preventDefault();
    enlarge(event.key === "+" ? 1.2 : event.key === "-" ? 1 / 1.2 : 1);
  });

  function choose(number) {
    ({ colors, scale } = molecule.colorings[number]);
    bar.hidden = scale.length === 0;
    bar.style.background = `linear-gradient(to right, ${scale.join(",")})`;
    legend.textContent = molecule.colorings[number].legend;
    canvas.dataset.coloring = molecule.colorings[number].name;
    draw();
  }

  molecule.colorings.forEach((coloring, number) => choice.add(new Option(coloring.name, number)));
  choice.addEventListener("change", () => choose(Number(choice.value)));
  resize();
  choose(0);
  new ResizeObserver(() => {
    if (canvas.width === Math.round(ratio * canvas.clientWidth)) return;
    resize();
    draw();
  }).observe(canvas);
}

document.querySelectorAll("script.molecule").forEach((data, number) => {
  const parts = ["view", "choice", "legend", "bar", "nearer", "farther"].map((part) => document.getElementById(part + number));
  showMolecule(parts, JSON.parse(data.textContent));
});
