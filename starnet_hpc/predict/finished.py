"""Whether there is anything left to predict, asked without predicting."""

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.networks import describe_members
from starnet_hpc.predict.joining import is_joined
from starnet_hpc.predict.places import best_file
from starnet_hpc.predict.ranks import Ranks
from starnet_hpc.predict.reconstruction import wanted_reconstruction
from starnet_hpc.predict.tasks import names_to_predict, wanted_tasks
from starnet_hpc.predict.velocity import wanted_rest_frame


def is_predicted(config: ExperimentConfig) -> bool:
    """Return whether every store that is there has its catalogue, made with the members and settings as they are.

    Raises:
        MissingInputError: members or stores are missing.
        StoreMismatchError: members were trained for other pixels, or differ in what they were trained on.
    """
    names = [name for name in names_to_predict(config) if name != "valid"]
    if not all(config.catalogue(name).exists() for name in names):
        return False  # without looking for templates, which takes time
    digests, trained_on = describe_members([best_file(config, m) for m in range(config.ensemble.members)])
    rest, reconstruction = wanted_rest_frame(config, Ranks(None)), wanted_reconstruction(config, trained_on)
    wanted = config.predict.device
    # A login node need not have the GPU that has predicted.
    return any(
        all(
            is_joined(config, task, trained_on)
            for task in wanted_tasks(config, digests, trained_on, device, rest, reconstruction, None)
        )
        for device in (("cpu", "cuda") if wanted == "auto" else (wanted,))
    )
