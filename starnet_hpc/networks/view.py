"""What a network sees of spectra: the pixels that it is given, and which of them are masked."""

import torch
from torch import Tensor, nn


class View(nn.Module):
    """From flux as spectra are stored to what the first layer works on.

    Which pixels these are is kept with the weights, so that whoever predicts gives whole spectra and needs to know
    nothing of windows.
    """

    given: Tensor | None
    ignored: Tensor | None

    def __init__(
        self,
        pixels: int,
        *,
        continuum: float,
        mask_channel: bool = False,
        given: Tensor | None = None,
        ignored: Tensor | None = None,
    ) -> None:
        """Set up.

        Args:
            pixels: length of a spectrum.
            continuum: what is taken from the flux of all pixels that are not masked: with 1, a masked pixel looks as
                the continuum does, with 0 like a line of full depth.
            mask_channel: whether a second channel tells which pixels are masked.
            given: numbers of the pixels [n] (int64) that the layers are given; None: all.
            ignored: which of these are masked in every spectrum [n] (bool); None: none.
        """
        super().__init__()
        self.pixels = pixels if given is None else given.numel()
        self.channels = 2 if mask_channel else 1
        self._continuum = continuum
        self.register_buffer("given", given)
        self.register_buffer("ignored", ignored)

    def forward(self, flux: Tensor) -> Tensor:
        """Return channels [batch, channels, n] of normalised flux [batch, pixels], which is 0 where it is masked."""
        seen = self.seen(flux)
        if self.channels == 1 and not self._continuum:
            return seen[:, None, :]
        masked = seen == 0
        levelled = torch.where(masked, seen, seen - self._continuum)
        if self.channels == 1:
            return levelled[:, None, :]
        return torch.stack([levelled, masked.to(seen.dtype)], dim=1)

    def seen(self, flux: Tensor) -> Tensor:
        """Return the pixels that are given [batch, n], with those that are ignored set to 0."""
        if self.given is not None:
            flux = flux.index_select(1, self.given)
        return flux if self.ignored is None else flux.masked_fill(self.ignored, 0.0)
