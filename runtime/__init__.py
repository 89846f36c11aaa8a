"""The upper floor: effects. Loop, scheduler, threads, clock, storage, runners and the API."""
