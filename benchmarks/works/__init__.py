"""What is measured: functions that run in a process of their own and return figures by name.

`floors` and `probes` import nothing of millrace, so that a floor carries none of its weight.
"""
