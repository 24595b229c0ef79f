"""A test on the model itself whether the log-probs of an answer's tokens depend on earlier tokens alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmdpo.errors import UserError
from mmdpo.models.architectures import SUPPORTED
from mmdpo.models.device import on_device
from mmdpo.training.collate import ROW_VALUES
from mmdpo.training.prefix import probe_rows, rounding, row_log_probs
from mmdpo.training.rows import Row

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def require_causal(model: PreTrainedModel, processor: Any, rows: Sequence[Row], path: str) -> None:
    """Check that a model can be trained on its answers' log-probs.

    Args:
        model: A vision-language model in evaluation mode; it is moved to this process's device. One that ZeRO-3 has
            partitioned is not tested, because its modules cannot be called outside their engine.
        processor: Its processor.
        rows: Rows of the data set.
        path: `model.path`, for the error message.

    Raises:
        UserError: A later token of an answer changes the log-probs of earlier ones, or the model does not take the
            rows.
    """
    if any(hasattr(parameter, "ds_id") for parameter in model.parameters()):
        return
    if reason := reason_against_training(on_device(model), processor, rows):
        raise UserError(
            f"model.path={path}: {type(model).__name__} cannot be trained: {reason}. Type model.path= with another "
            f"model; supported are {SUPPORTED}"
        )


def reason_against_training(model: PreTrainedModel, processor: Any, rows: Sequence[Row]) -> str | None:
    """Test whether two continuations of the same answers give the answers different log-probs.

    In a causal model they do not. PaliGemma attends in both directions over its whole input, unless it is told where
    the answer starts.

    Args:
        model: A vision-language model in evaluation mode.
        processor: Its processor.
        rows: Rows of the data set.

    Returns:
        The reason why the model cannot be trained, or None if it can.
    """
    import torch

    from mmdpo.models.prefix import difference

    probe = probe_rows(rows)
    continued = [_continued(row) for row in probe]
    try:
        log_probs = row_log_probs(model, processor, continued, shared=False)
    except (UserError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # architectures reject these inputs in different ways
        return f"it does not take the inputs ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
    expected, found = (
        torch.cat([row[: len(given["answers"][0])] for row, given in zip(side, probe, strict=True)])
        for side in log_probs.chunk(2)
    )
    if not bool(expected.isfinite().all()):
        return None  # no sign of the architecture; the log-probs of all rows are checked where they are used
    count = max(1, expected.numel())
    change = difference(expected, found, count, model.dtype)
    if change:
        noise = rounding(model, processor, continued, log_probs)
        change = difference(expected, found, count, model.dtype, noise)
    return f"later tokens of an answer change the log-probs of earlier ones ({change})" if change else None


def _continued(row: Row) -> Row:
    """Return a row with its first answer twice, once with either of two tokens after it.

    Each token follows twice, because the model does not see the last one of a row.
    """
    answer = list(row["answers"][0])
    end = answer[-1]
    other = next((token for token in [*answer, *row["prompt_ids"]] if token != end), end)
    plain = {name: value for name, value in row.items() if name not in ("weights", *ROW_VALUES)}
    return {**plain, "answers": [[*answer, end, end], [*answer, other, other]]}
