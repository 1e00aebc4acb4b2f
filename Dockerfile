# What runs a plan, the gateway and its engines of requests: `docker build --tag REGISTRY/tightrope:0.1.0 .`
# Its packages are those of requirements-serve.lock, which `make lock` renews. It runs without root, on a root that is read only: what it
# writes goes to /tmp and to where options say (docs/how-to/run-on-kubernetes.md).
FROM python:3.13-slim AS built
WORKDIR /src
COPY requirements-serve.lock ./
RUN python -m venv /opt/tightrope \
    && /opt/tightrope/bin/pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: -r requirements-serve.lock
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src src
COPY examples examples
RUN /opt/tightrope/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
    && /opt/tightrope/bin/pip uninstall --yes hatchling pathspec pluggy tomlkit trove-classifiers pip

FROM python:3.13-slim
COPY --from=built /opt/tightrope /opt/tightrope
ENV PATH=/opt/tightrope/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 8000
ENTRYPOINT ["tightrope"]
