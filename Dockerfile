# SPDX-License-Identifier: Apache-2.0
# One static program and nothing else: docs/image.md. script/image builds it.
ARG BASE=debian:bookworm-slim
FROM $BASE AS build
COPY deploy/image.lock /envdial/deploy/
COPY deploy/image /envdial/deploy/image
RUN /envdial/deploy/image/build.sh packages
RUN /envdial/deploy/image/build.sh sources
RUN /envdial/deploy/image/build.sh libraries
COPY . /envdial
RUN /envdial/deploy/image/build.sh program

# The program and its bill of materials, for `script/image`.
FROM scratch AS files
COPY --from=build /out/ /

FROM scratch
LABEL org.opencontainers.image.title="envdial" \
      org.opencontainers.image.description="A sidecar that delivers a Consul key to an app as a live, guarded value" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/envdial /envdial
USER 65532:65532
ENTRYPOINT ["/envdial"]
