"""Judges of fixed rules, one file each, which need no service and cost nothing; `judge.client` names the file.

A file defines `rate(prompt, text) -> Rating` and `RATES_BY`, the rubric that it rates by. One that also defines
`reference_answer(prompt) -> str` can be the teacher of method=sft; one that sets `NEEDS_FACTS = True` rates only
prompts whose right answer is known, those of data=nano.
"""
