"""Exported networks where torch is not wanted: graphs on disk and the sessions that compute them."""
