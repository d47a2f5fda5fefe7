# mmvatool on a CPU, as a user that is not root:
#
#     docker build -t mmvatool .
#     docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" mmvatool summarize vlog.mp4
#
# On x86_64, pip's torch brings CUDA's libraries (4.5 GB). For a small image name the index of PyTorch's CPU builds:
#
#     docker build -t mmvatool --build-arg TORCH_INDEX=ADDRESS .
FROM python:3.11-slim AS build
ARG TORCH_INDEX=
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY mmvatool mmvatool
COPY trainer trainer
COPY recipes recipes
RUN python -m venv /opt/mmvatool \
    && if [ -n "$TORCH_INDEX" ]; then \
         grep -E '^(torch|torchvision|torchaudio)==' constraints.txt > torch.txt \
         && /opt/mmvatool/bin/pip install --no-cache-dir --index-url "$TORCH_INDEX" -r torch.txt; \
       fi \
    && /opt/mmvatool/bin/pip install --no-cache-dir --constraint constraints.txt .

FROM python:3.11-slim
COPY --from=build /opt/mmvatool /opt/mmvatool
RUN useradd --create-home --uid 1000 mmvatool && mkdir -p /work && chown mmvatool /work
ENV PATH=/opt/mmvatool/bin:$PATH XDG_CACHE_HOME=/tmp/cache
USER 1000
WORKDIR /work
ENTRYPOINT ["mmvatool"]
CMD ["--help"]
