"""The settings of a training: one TOML file, whose tables [model] and [data] are required."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from orbmm.errors import SettingsError
from orbmm.plain_text import describe_value
from orbmm.settings.field import Limits, Paths, check_fields, setting
from orbmm.settings.model import DEFAULT_MODEL
from orbmm.settings.paths import OWN_NAME, check_name, is_weights_path
from orbmm.settings.system import LARGEST_SEED

ENERGY_UNITS = ("eV", "kcal/mol", "kJ/mol", "Hartree")
FORCE_UNITS = ("eV/Å", "kcal/mol/Å", "kJ/mol/nm", "Hartree/Bohr")
STRESS_UNITS = ("eV/Å^3", "GPa")
STRESS_SIGNS = ("positive under tension", "positive under pressure")
OPTIMIZERS = ("muon", "adamw")
TRAINING_PRECISIONS = ("float32", "bfloat16")
ERRORS_BEYOND = ("last bin", "left out")
REPLAY_LABELS = ("start", "given")
_POSITIVE = Limits(above=0)
_SHARE = Limits(at_least=0, at_most=1)
_WEIGHT = Limits(at_least=0)


@dataclass(frozen=True)
class TrainedModelSettings:
    """The table [model]: the network to train, and what is written down with its weights."""

    name: str = setting("Short name of the trained model; its weights are written to <name>.safetensors.")
    level_of_theory: str = setting('Method of the labels, such as "GFN1-xTB"; it is kept with the weights.')
    start: str = setting(
        "Model of the catalogue whose size, and unless from_scratch its weights, are used.", DEFAULT_MODEL
    )
    weights: Path | None = setting("Local weights file to start from; absent: those of the catalogue.", None)
    from_scratch: bool = setting("Start from random weights instead.", False)
    zbl_aggregation: str | None = setting(
        'Repulsion of near atoms: "sum" keeps energies extensive, "mean" is that of the published conservative models; '
        "absent: as in the start.",
        None,
        Limits(choices=("sum", "mean")),
    )
    purpose: str = setting("One line on what the model is for.", "trained by its user")
    dispersion: str = setting('What is known of dispersion in the labels, such as "contained".', "not stated")

    def __post_init__(self) -> None:
        check_fields(self)
        check_name(self.name)
        if self.from_scratch and self.weights is not None:
            raise SettingsError("from_scratch is true, but weights names a file to start from: take one of the two out")
        if is_weights_path(self.start) and not self.from_scratch:
            raise SettingsError(
                f"start is {describe_value(self.start)}, a file: name it as weights, and set start = '{OWN_NAME}'"
            )


@dataclass(frozen=True)
class DataSettings:
    """The table [data]: labelled frames, their units, and those held out for validation."""

    training: Paths = setting("Files of labelled frames: .extxyz, .xyz, .db of ASE, .h5, .hdf5, .npz of `orbmm label`.")
    energy_unit: str = setting("Unit of the energies.", limits=Limits(choices=ENERGY_UNITS))
    force_unit: str = setting("Unit of the forces.", limits=Limits(choices=FORCE_UNITS))
    stress_unit: str | None = setting(
        "Unit of the stress; absent: stress is not learned.", None, Limits(choices=STRESS_UNITS)
    )
    stress_sign: str | None = setting(
        "Sign of the stress; needed with stress_unit.", None, Limits(choices=STRESS_SIGNS)
    )
    validation: Paths = setting(
        "Files of frames that are only validated on; absent: a share of the training files.", ()
    )
    validation_share: float = setting("Share of the frames that is held out, whole groups first.", 0.1, _SHARE)
    energy_key: str = setting("Name of the energy in the files.", "energy")
    forces_key: str = setting("Name of the forces in the files.", "forces")
    stress_key: str = setting("Name of the stress in the files.", "stress")
    group_key: str = setting(
        "Name of the text in each frame that says which trajectory it is of; frames without it are grouped by formula.",
        "group",
    )

    charged_frames: str = setting(
        "Frames with a charge, for a model that takes none: refuse, or train, where hydrogens and neighbours show it.",
        "refuse",
        Limits(choices=("refuse", "train")),
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.training:
            raise SettingsError("training is an empty list, but must name at least one file of labelled frames")
        if (self.stress_unit is None) != (self.stress_sign is None):
            raise SettingsError("stress_unit and stress_sign belong together: give both, or none to leave stress out")


@dataclass(frozen=True)
class LossSettings:
    """The table [loss]: the weights of its parts. The part of the forces has weight 1."""

    energy_weight: float = setting("Weight of the energy per atom at the end of the training.", 0.005, _WEIGHT)
    energy_ramp: float = setting("Share of the training over which the weight of the energy grows.", 0.3, _SHARE)
    stress_weight: float = setting("Weight of the stress.", 0.05, _WEIGHT)
    solute_weight: float = setting("Weight of a solute atom's force, relative to one of the solvent.", 4.0, _POSITIVE)
    huber_delta: float = setting(
        "Force error, in units of the labels' root mean square force, beyond which the loss is linear.", 0.5, _POSITIVE
    )
    conditional: bool = setting("Lower huber_delta for atoms with large label forces, down to a tenth.", False)
    rotation_share: float = setting(
        "Size of the penalty on energies that depend on orientation, relative to the loss of the forces; conservative "
        "models only.",
        0.0,
        _SHARE,
    )
    rotation_ramp: float = setting(
        "Share of the training over which rotation_share grows from 0; random weights need about 0.5.", 0.0, _SHARE
    )
    errors_beyond: str = setting(
        "What the confidence head learns from atoms whose force error is beyond its last bin: last bin, or left out as "
        "in the published models.",
        "last bin",
        Limits(choices=ERRORS_BEYOND),
    )

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class OptimizerSettings:
    """The table [optimizer]: length of the training, learning rate and batches."""

    optimizer: str = setting("muon for small networks, adamw for published ones.", "muon", Limits(choices=OPTIMIZERS))
    steps: int = setting("Number of optimizer steps; 0: only the confidence is refitted.", 6000, Limits(at_least=0))
    learning_rate: float = setting("Largest learning rate.", 2e-3, Limits(at_least=0, at_most=1))
    edges_per_batch: int = setting(
        "Frames are added to a batch until it has this many edges.", 6000, Limits(at_least=1)
    )
    clip: float = setting("Largest norm of the gradient of all weights.", 10.0, _POSITIVE)
    average_decay: float = setting("Decay of the average over the weights.", 0.995, Limits(at_least=0, at_most=0.99999))

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class ValidationSettings:
    """The table [validation]: short dynamics from held-out frames, beside the errors at each validation."""

    rollout_ps: float = setting(
        "Length of the dynamics, which the guard of a run watches [ps]; 0: none. The weights that are kept must pass.",
        0.0,
        Limits(at_least=0, at_most=1000),
    )
    rollout_frames: int = setting(
        "Number of held-out frames that dynamics begin from, those with the smallest forces.", 1, Limits(at_least=1)
    )
    rollout_temperature_kelvin: float = setting("Temperature of the heat bath [K].", 300.0, _POSITIVE)
    rollout_timestep_fs: float = setting("Time step [fs].", 0.5, Limits(above=0, at_most=4))

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class ConfidenceSettings:
    """The table [confidence]: its head is refitted at the end, on frames that the network was not trained on."""

    refit: bool = setting(
        "Refit the head on every second group of the held-out frames, and compare it with the errors on the others.",
        False,
    )
    frames: Paths = setting(
        "More files of labelled frames, such as molecules unlike the training: every second group of them too.", ()
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.frames and not self.refit:
            raise SettingsError("frames is given, but refit is false, so no one reads them: set refit = true")


@dataclass(frozen=True)
class ReplaySettings:
    """The table [replay]: frames of what the start knows, so that the training does not make it forget."""

    frames: Paths = setting(
        "Files of such frames, as in training of [data], or without given labels also run folders; absent: no replay.",
        (),
    )
    labels: str = setting(
        "start: the network that the training starts from labels them; given: their labels are in the files, in the "
        "units of [data].",
        "start",
        Limits(choices=REPLAY_LABELS),
    )
    share: float = setting("Share of these frames among those that are drawn.", 0.3, _SHARE)
    validation_share: float = setting("Share of these frames that is held out.", 0.1, _SHARE)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class TrainingRunSettings:
    """The table [run]: where the training is kept, and how often it is saved and validated."""

    output: Path | None = setting("Folder of the training; absent: training/<name> in the current folder.", None)
    seed: int = setting("Seed of weights, batches and rotations.", 1, Limits(at_least=1, at_most=LARGEST_SEED))
    save_every: int = setting(
        "Steps between two saves, from which the training can be resumed.", 200, Limits(at_least=1)
    )
    validate_every: int = setting("Steps between two validations.", 500, Limits(at_least=1))
    patience: int = setting(
        "Stop after this many validations without a lower force error; 0: never.", 0, Limits(at_least=0)
    )
    compile: bool = setting("Compile the network first; the first step then takes minutes.", False)
    tensorboard: bool = setting("Write the history for TensorBoard too, which must be installed.", False)
    device: str = setting(
        "Device of the training: cpu, cuda, cuda:1, ...; auto: the first GPU if there is one (not run on a GPU yet).",
        "auto",
    )
    precision: str = setting(
        "Precision of the training steps: float32; or bfloat16, for matrix products alone. Weights, heads and "
        "validation stay in float32 or better.",
        "float32",
        Limits(choices=TRAINING_PRECISIONS),
    )

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class TrainingSettings:
    """One TRAINING.toml."""

    model: TrainedModelSettings
    data: DataSettings
    loss: LossSettings = field(default_factory=LossSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    replay: ReplaySettings = field(default_factory=ReplaySettings)
    validation: ValidationSettings = field(default_factory=ValidationSettings)
    confidence: ConfidenceSettings = field(default_factory=ConfidenceSettings)
    run: TrainingRunSettings = field(default_factory=TrainingRunSettings)

    def __post_init__(self) -> None:
        if self.optimizer.steps == 0 and not self.confidence.refit:
            raise SettingsError(
                "steps is 0 in [optimizer] and refit is false in [confidence], so there is nothing to do: change one"
            )
        if self.replay.frames and self.model.from_scratch:
            raise SettingsError(
                "[replay] names frames, but from_scratch is true, and random weights know nothing to keep: add the "
                "frames to training of [data]"
            )
