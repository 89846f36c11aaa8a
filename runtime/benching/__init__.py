"""Which limit is right for a task: measured under many limits, fitted, judged, and shown.

Parts that only compute (no I/O, loop or clock): `trials` and `figures` (what was measured, and what it comes to),
`laws`, `fitting` and `knee` (the curve, and what it says), `plan`, `report` (all of it together), and what shows it:
`units`, `table`, `document`, `charts` and `page`.

Parts that act: `works`, `models` and `loopback` (what is done for each item), `load` and `feeding` (how items are given
out), `under_engine` and `contenders` (the same work under limits of different makes), `sampling` (loop lag,
memory) and `measuring` (the order of it all).
"""
