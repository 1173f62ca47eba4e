# A model behind HTTP, on the CPU:
#   docker build -t atonce .                            in a clone
#   docker build --build-context build=. -t atonce .    with this file, constraints.txt and wheel/atonce-....whl alone
#   docker run --rm -p 127.0.0.1:8000:8000 -v "$PWD/runs/mine:/model:ro" atonce
# Any other command: docker run --rm -v "$PWD:/data" atonce doctor /data
FROM python:3.12-slim-bookworm AS build
WORKDIR /source
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY src ./src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM python:3.12-slim-bookworm
COPY constraints.txt /
COPY --from=build /wheel /wheel
# PyTorch's build for the CPU comes from an index of its own, the rest with the versions that the tests run with.
RUN torch="$(sed -n 's/^torch==//p' /constraints.txt)" \
    && pip install --no-cache-dir "torch==${torch}" --index-url https://download.pytorch.org/whl/cpu \
    && pip install --no-cache-dir -c /constraints.txt "$(echo /wheel/*.whl)[serve]" \
    && rm -r /wheel \
    && useradd --uid 10001 --home-dir /tmp --no-create-home atonce
USER 10001
ENV HOME=/tmp PYTHONUNBUFFERED=1
WORKDIR /tmp
# A run folder, or a folder with model.safetensors in it.
VOLUME /model
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["atonce"]
CMD ["serve", "/model", "--host", "0.0.0.0", "--port", "8000"]
