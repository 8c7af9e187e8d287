"""Inside the worker: the warm loop, its heartbeat, what a ticket may name, what a job works with."""
