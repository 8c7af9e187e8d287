"""The way to Redis, and what its refusals mean in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from backends.core.errors import RedisDown
from backends.settings import Settings


def connect(settings: Settings) -> Redis:
    """A client for the settings' Redis. Nothing is sent yet, so Redis may come up later.

    One immediate retry: the first command after a restart of Redis finds a dead pooled connection.
    """
    return Redis.from_url(settings.redis_address(), socket_timeout=10, retry=Retry(NoBackoff(), 1))


def ensure_up(redis: Redis) -> None:
    """Raises RedisDown unless Redis answers and accepts writes (a full disk makes PING fail too)."""
    with redis_errors(redis):
        redis.ping()


@contextmanager
def redis_errors(redis: Redis) -> Iterator[None]:
    """Translate what redis-py raises into RedisDown."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError, OSError) as error:
        raise RedisDown(
            f"Redis at {_address(redis)} does not answer ({error}); start it with `maskloop up` "
            "or set MASKLOOP_REDIS_URL"
        ) from error
    except RedisError as error:
        raise RedisDown(f"Redis at {_address(redis)} refuses: {error}") from error


def _address(redis: Redis) -> str:
    # Never the URL itself: it may hold a password.
    options = redis.connection_pool.connection_kwargs
    return str(options.get("path") or f"{options.get('host')}:{options.get('port')}")
