"""A tree that meets every control, and for each control what breaks just that.

One module a group. Each has `GOOD` (files of the good tree), `PLAN` (lists of the plan), `FACTS` (what the build
manifest states) and `BREAKS` (by control id). The tree is audited as a folder and, with its own ``proc`` and ``sys``,
as if it ran; a control that only one of the two can decide is named in `LIVE_ONLY` or `FOLDER_ONLY`.
"""
