# The relay; with another command, its sandbox. One process, one writable place: /data.
#
#   docker build --tag order-relay .
#
# The base image is pinned by tag. Its digest belongs here as well (python:3.13-slim@sha256:…), and is missing because
# it was not at hand where this file was written; `docker buildx imagetools inspect python:3.13-slim` prints it.
FROM python:3.13-slim AS base

# ---- build: everything that is installed, in one folder -------------------------------------------------------------
FROM base AS build
WORKDIR /build
COPY deploy/requirements.txt deploy/requirements-build.txt ./deploy/

# Two environments: one that goes into the image, without pip, and one that only builds the wheel. Both take exactly
# what is locked, by hash, and only as wheels: nothing of other people's runs while installing.
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/order-relay \
 && python -m pip --python /opt/order-relay/bin/python install --disable-pip-version-check --require-hashes \
      --only-binary :all: --requirement deploy/requirements.txt \
 && python -m venv /opt/builder \
 && /opt/builder/bin/python -m pip install --disable-pip-version-check --require-hashes \
      --only-binary :all: --requirement deploy/requirements-build.txt

COPY pyproject.toml README.md LICENSE ./
COPY relay/ ./relay/

# --no-build-isolation: the build backend is the locked one, and building needs no network.
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/builder/bin/python -m pip wheel --disable-pip-version-check --no-index --no-deps --no-build-isolation \
      --wheel-dir dist . \
 && python -m pip --python /opt/order-relay/bin/python install --disable-pip-version-check --no-index --no-deps \
      dist/order_relay-*.whl \
 && python -m compileall -q --invalidation-mode unchecked-hash -f /opt/order-relay/lib

# ---- what runs ------------------------------------------------------------------------------------------------------
FROM base AS relay
LABEL org.opencontainers.image.title="order-relay" \
      org.opencontainers.image.description="Takes a storefront's order webhooks at any pace and hands them to Jetti" \
      org.opencontainers.image.licenses="MIT"

# The official image comes without the standard library's bytecode. On a read-only root file system it could not be
# kept, and every start and every health check would compile it anew.
RUN python -m compileall -q --invalidation-mode unchecked-hash -x 'site-packages|/tests?/' /usr/local/lib/python3.13 \
 && groupadd --gid 10001 relay \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin relay \
 && install --directory --owner=10001 --group=10001 --mode=0750 /data
COPY --from=build /opt/order-relay /opt/order-relay

# The store's default, sqlite:relay.db, is relative to the working directory: it is on the volume without being told.
ENV PATH=/opt/order-relay/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    RELAY_CONFIG=/etc/order-relay/config.toml
USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8080 9090

# The private listener's default port; -I, so that nothing on the volume can be imported. There is no curl here.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["python", "-I", "-c", \
  "from urllib.request import ProxyHandler, build_opener as b; b(ProxyHandler({})).open('http://127.0.0.1:9090/healthz', timeout=4)"]

# No shell in between: the relay itself gets the signal, stops accepting, and finishes what is in flight.
STOPSIGNAL SIGTERM
ENTRYPOINT ["order-relay"]
CMD ["serve"]
