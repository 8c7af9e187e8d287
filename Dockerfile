# One image for the backend and the worker.
#   docker compose build, with TORCH_INDEX in .env choosing the build of torch (CPU or CUDA)
ARG PYTHON_IMAGE=python:3.11.15-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# The address of the package index that holds the wanted torch build, as PyTorch's "Get started" page names it.
# Empty: the plain release, on Linux a CUDA build of several GB.
ARG TORCH_INDEX=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/maskloop
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY backends/ backends/
COPY pipelines/ pipelines/
COPY labelstudio_config/ labelstudio_config/
RUN /opt/maskloop/bin/pip install ${TORCH_INDEX:+--extra-index-url "${TORCH_INDEX}"} --constraint constraints.txt . \
    && /opt/maskloop/bin/pip uninstall --yes setuptools pip

FROM ${PYTHON_IMAGE}
# Nothing that installs or builds stays in the image that runs; code is owned by root and not writable by the user.
RUN python -m pip uninstall --yes wheel setuptools pip \
    && groupadd --gid 10001 maskloop \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin maskloop \
    && install --directory --owner=10001 --group=10001 --mode=0755 /srv/maskloop/media /srv/maskloop/media/clips \
    && install --directory --owner=10001 --group=10001 --mode=0700 /srv/maskloop/data
COPY --from=build /opt/maskloop /opt/maskloop
ENV PATH=/opt/maskloop/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MASKLOOP_DATA_DIR=/srv/maskloop/data \
    MASKLOOP_MEDIA_ROOT=/srv/maskloop/media
WORKDIR /srv/maskloop
USER 10001:10001
EXPOSE 9090
CMD ["python", "-m", "backends.wsgi"]
