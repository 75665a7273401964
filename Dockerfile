# The image of agent-mesh: nothing but one static binary, run as a user without rights on a root file system that may be read-only.
#
#   docker build -t agent-mesh-quantum .                       builds from source, on the official Rust image
#   docker build -t agent-mesh-quantum --target prebuilt .     takes deploy/docker/dist/agent-mesh (see deploy/docker/static-binary)
#
# Without arguments a container runs a network of its own (agent-mesh devnet) in the volume /data. A validator of a network across
# machines runs `init` and `start` instead: docs/operations.md, deploy/compose, deploy/kubernetes.
ARG RUST_IMAGE=rust:1.95-bookworm

FROM scratch AS base
# /data is for homes, /exchange for public files and genesis; both belong to the user, so that new volumes there do, too.
COPY --chown=10001:10001 deploy/docker/rootfs/ /
USER 10001:10001
WORKDIR /data
VOLUME /data
# HTTP; links of other validators.
EXPOSE 8080 9080
STOPSIGNAL SIGTERM
# There is no shell here: the program asks itself. Healthy means that values become final, not that a process exists.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/usr/local/bin/agent-mesh", "status", "--health"]
ENTRYPOINT ["/usr/local/bin/agent-mesh"]
CMD ["devnet", "--dir", "/data/devnet", "--http-ip", "0.0.0.0"]

FROM base AS prebuilt
COPY deploy/docker/dist/ /usr/local/bin/

FROM ${RUST_IMAGE} AS build
WORKDIR /source
COPY . .
RUN deploy/docker/static-binary /source/dist

FROM base
COPY --from=build /source/dist/agent-mesh /usr/local/bin/agent-mesh
