"""The lower floor: decisions. No I/O, no loop, no thread, no clock, no random source."""
