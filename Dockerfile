# One file, four images: `operator` (no torch), `jobs` (CUDA), `jobs-cpu` (for tests and for trying things), and `jobs-lean`
# (stages without an engine of their own: scripted, or served elsewhere).
#
#   docker build --target operator -t dto-operator .
#
# BASE: any Debian-like image with Python >= 3.11, its `venv`, and certificates.
# Where packages come through a mirror, say so by secrets; nothing of them stays in an image:
#   --secret id=pip.conf,src=…   pip's settings        --secret id=uv.toml,src=…   uv's settings
#   --secret id=ca.crt,src=…     certificates to trust
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS installer
COPY requirements/uv.txt requirements/build.txt /requirements/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.crt,target=/run/secrets/ca.crt \
    if [ -s /run/secrets/ca.crt ]; then export PIP_CERT=/run/secrets/ca.crt; fi; \
    python3 -m venv /opt/installer && \
    /opt/installer/bin/pip install --no-cache-dir --require-hashes -r /requirements/uv.txt -r /requirements/build.txt

# The package changes often, what it needs seldom: each in a layer of its own.
FROM installer AS wheel
COPY pyproject.toml README.md LICENSE /source/
COPY operator /source/operator
COPY jobs /source/jobs
RUN cd /source && /opt/installer/bin/hatchling build -t wheel -d /wheel

FROM installer AS operator-environment
COPY requirements/operator.txt /requirements/
RUN --mount=type=secret,id=uv.toml,target=/etc/uv/uv.toml --mount=type=secret,id=ca.crt,target=/run/secrets/ca.crt \
    if [ -s /run/secrets/ca.crt ]; then export SSL_CERT_FILE=/run/secrets/ca.crt; fi; \
    python3 -m venv --without-pip /opt/dto && VIRTUAL_ENV=/opt/dto PYC_INVALIDATION_MODE=UNCHECKED_HASH \
    /opt/installer/bin/uv pip sync --no-cache --compile-bytecode --require-hashes /requirements/operator.txt

FROM installer AS jobs-cpu-environment
COPY requirements/jobs-cpu.txt /requirements/
RUN --mount=type=secret,id=uv.toml,target=/etc/uv/uv.toml --mount=type=secret,id=ca.crt,target=/run/secrets/ca.crt \
    if [ -s /run/secrets/ca.crt ]; then export SSL_CERT_FILE=/run/secrets/ca.crt; fi; \
    python3 -m venv --without-pip /opt/dto && VIRTUAL_ENV=/opt/dto \
    /opt/installer/bin/uv pip sync --no-cache --compile-bytecode --require-hashes /requirements/jobs-cpu.txt

FROM installer AS jobs-lean-environment
COPY requirements/jobs-lean.txt /requirements/
RUN --mount=type=secret,id=uv.toml,target=/etc/uv/uv.toml --mount=type=secret,id=ca.crt,target=/run/secrets/ca.crt \
    if [ -s /run/secrets/ca.crt ]; then export SSL_CERT_FILE=/run/secrets/ca.crt; fi; \
    python3 -m venv --without-pip /opt/dto && VIRTUAL_ENV=/opt/dto \
    /opt/installer/bin/uv pip sync --no-cache --compile-bytecode --require-hashes /requirements/jobs-lean.txt

FROM installer AS jobs-environment
COPY requirements/jobs.txt /requirements/
RUN --mount=type=secret,id=uv.toml,target=/etc/uv/uv.toml --mount=type=secret,id=ca.crt,target=/run/secrets/ca.crt \
    if [ -s /run/secrets/ca.crt ]; then export SSL_CERT_FILE=/run/secrets/ca.crt; fi; \
    python3 -m venv --without-pip /opt/dto && VIRTUAL_ENV=/opt/dto PYC_INVALIDATION_MODE=UNCHECKED_HASH \
    /opt/installer/bin/uv pip sync --no-cache --compile-bytecode --require-hashes /requirements/jobs.txt

# What the package's own layer holds: the wheel unpacked beside its dependencies, with its byte code, and nothing of when.
FROM wheel AS package
RUN python3 -m venv --without-pip /opt/dto && VIRTUAL_ENV=/opt/dto PYC_INVALIDATION_MODE=UNCHECKED_HASH \
    /opt/installer/bin/uv pip install --offline --no-cache --no-deps --compile-bytecode /wheel/*.whl && \
    rm -f /opt/dto/lib/python3*/site-packages/*.dist-info/uv_cache.json

FROM ${BASE} AS plain
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.source="https://github.com/dto-operator/dto-operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Python writes nothing: the root file system may be read-only.
ENV PATH=/opt/dto/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /
USER 65532:65532

FROM plain AS operator
LABEL org.opencontainers.image.title="dto-operator" org.opencontainers.image.description="Drives DTORuns on a cluster"
COPY --from=operator-environment /opt/dto /opt/dto
COPY --from=package /opt/dto /opt/dto
ENTRYPOINT ["python3", "-m", "dto_operator"]

FROM plain AS jobs-lean
LABEL org.opencontainers.image.title="dto-jobs-lean" org.opencontainers.image.description="Stages of DTORuns that need no torch"
COPY --from=jobs-lean-environment /opt/dto /opt/dto
COPY --from=package /opt/dto /opt/dto
ENTRYPOINT ["dto"]

# For tests: on top of the environment itself, installer and all, so that its large layer is made and kept once.
FROM jobs-cpu-environment AS jobs-cpu
LABEL org.opencontainers.image.title="dto-jobs-cpu" org.opencontainers.image.description="Stages of DTORuns on machines without a GPU" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/dto/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /
USER 65532:65532
COPY --from=package /opt/dto /opt/dto
ENTRYPOINT ["dto"]

FROM plain AS jobs
LABEL org.opencontainers.image.title="dto-jobs" org.opencontainers.image.description="Stages of DTORuns on GPUs"
# Kernels that Triton makes at run time need a C compiler.
USER 0
RUN apt-get update -q && apt-get install -yq --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
USER 65532:65532
COPY --from=jobs-environment /opt/dto /opt/dto
COPY --from=package /opt/dto /opt/dto
ENTRYPOINT ["dto"]
