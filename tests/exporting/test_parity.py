"""The limits within which an exported file must agree with the network."""

from __future__ import annotations

import pytest

from atonce.exporting.parity import INT8, AccuracyError, Parity, ParityError, require_parity


def test_what_is_out_of_bounds_is_said() -> None:
    def parity(agreement: float, mean_iou: tuple[float, float] | None, logit_difference: float = 0.0) -> Parity:
        return Parity(
            pictures=3,
            logit_difference=logit_difference,
            largest_logit=10.0,
            agreement=agreement,
            mean_iou=mean_iou,
        )

    fine = parity(0.98, (0.6, 0.598), 0.5)
    require_parity(fine, int8=True)
    with pytest.raises(AccuracyError, match=r"mean IoU falls from 0\.6000 to 0\.5900 \(limit 0\.005\)"):
        require_parity(parity(0.98, (0.6, 0.59), 0.5), int8=True)
    with pytest.raises(ParityError, match="of the labels agree"):
        require_parity(parity(0.98, None), int8=False)
    assert parity(1.0, None, float("nan")).violations(INT8) == []
    with pytest.raises(ParityError, match="nan"):
        require_parity(parity(1.0, None, float("nan")), int8=False)
    assert "mean IoU 0.6000 with torch and 0.5980 exported" in fine.summary()
