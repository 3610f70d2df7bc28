"""Whatever bytes come in: a result, or one sentence and exit code 2; never a traceback, a hang or a lost atom."""

from __future__ import annotations

import os

import pytest
from fuzz.places import PLACES, TRAJECTORIES, Place, check_count, search
from fuzz.seeds import FRAMES

pytestmark = pytest.mark.filterwarnings("ignore")  # readers of mdtraj leave files open where they stop
EXAMPLES = 30
LONG = int(os.environ.get("ORBMM_FUZZ_EXAMPLES", "3000"))
NAMES = [place.name for place in PLACES]
WITHOUT_POSITIONS = "read_topology.psf"
TORN = [place for place in PLACES if place.door == "read_trajectory"]


@pytest.mark.parametrize("place", PLACES, ids=NAMES)
def test_a_sound_file_is_read_whole(place: Place) -> None:
    for content in place.seeds():
        outcome = place.ask(content)
        if place.name == WITHOUT_POSITIONS:
            assert outcome.sentence
            continue
        assert outcome.read and outcome.read.same, outcome
        if place.count:
            check_count(outcome.read, place.count(content))
        if place.suffix in TRAJECTORIES and place.door == "read_trajectory":
            assert outcome.read.frames == (1 if place.suffix == ".ncrst" else FRAMES)


@pytest.mark.parametrize("place", PLACES, ids=NAMES)
def test_any_bytes_are_a_result_or_a_sentence(place: Place) -> None:
    search(place, EXAMPLES, repeatable=True)


@pytest.mark.fuzz
@pytest.mark.parametrize("place", PLACES, ids=NAMES)
def test_thousands_of_files_are_a_result_or_a_sentence(place: Place) -> None:
    search(place, LONG, repeatable=False)


@pytest.mark.parametrize("place", TORN, ids=[place.suffix for place in TORN])
def test_a_torn_trajectory_gives_its_own_frames_or_a_sentence(place: Place) -> None:
    (content,) = place.seeds()
    step = max(1, len(content) // EXAMPLES)
    for end in (*range(0, len(content), step), *range(len(content) - 12, len(content))):
        outcome = place.ask(content[:end])
        assert outcome.sentence or outcome.read.same, (end, outcome)
