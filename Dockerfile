# The HTTP API and its page, on the base install: no JAX, no PyTorch. docs/deploy.md says how to run it.
#   docker build -t jaxgen .
#   docker run -p 8000:8000 -e JAXGEN_TOKEN=... -v jaxgen-data:/data -v "$PWD/models:/models:ro" jaxgen
# The dashboard, drawing alone:
#   docker build -t jaxgen-dashboard --build-arg EXTRAS=dashboard .
#   docker run -p 127.0.0.1:8501:8501 -e JAXGEN_HEALTH=http://127.0.0.1:8501/_stcore/health \
#     -v "$PWD/models:/runs" jaxgen-dashboard jaxgen dashboard --runs /runs --host 0.0.0.0
FROM python:3.12-slim

# serve, dashboard, or both with a comma; train and export besides make an image of several gigabytes.
ARG EXTRAS=serve

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    JAXGEN_HOME=/data JAXGEN_HEALTH=http://127.0.0.1:8000/health

WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY jaxgen ./jaxgen
COPY export ./export
COPY serve ./serve
RUN pip install --constraint constraints.txt ".[${EXTRAS}]"

RUN useradd --create-home --uid 10001 jaxgen \
    && mkdir -p /data /models /runs \
    && chown jaxgen:jaxgen /data /models /runs
USER jaxgen
WORKDIR /home/jaxgen
VOLUME /data

EXPOSE 8000 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(os.environ['JAXGEN_HEALTH'], timeout=4)"]

# Without JAXGEN_TOKEN anybody who reaches the port may draw; the server warns.
CMD ["jaxgen", "serve", "/models", "--host", "0.0.0.0", "--port", "8000", "--data", "/data"]
