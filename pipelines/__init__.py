"""Everything that takes longer than a request: jobs, the worker, ingest, training, the supervisor."""
