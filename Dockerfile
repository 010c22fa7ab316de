# syntax=docker/dockerfile:1
#
# A small image: the static program, CA certificates, and nothing else. To build it: docker build --tag attrsync .
# docs/running.md says how to run it, and packaging/docker/compose.yaml runs it with Compose.

# The image has musl and a C compiler, which SQLite, zstd and ring are compiled with.
FROM rust:1.95-alpine AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist \
    && mkdir -p /image/usr/local/bin \
    && cp target/dist/attrsync /image/usr/local/bin/
# The last command fails if the program is not static: there are no libraries in that directory.
RUN mkdir -p /image/etc/ssl/certs /image/usr/share/licenses/attrsync /owned/srv/crm /owned/tmp \
    && chmod 1777 /owned/tmp \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
    && cp LICENSE-* /image/usr/share/licenses/attrsync/ \
    && chroot /image /usr/local/bin/attrsync --version

FROM scratch
LABEL org.opencontainers.image.title="attrsync" \
      org.opencontainers.image.description="Update contacts in User.com from CSV files" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /image/ /
COPY --from=build --chown=65532:65532 /owned/ /
# Mount a volume here: the ledger has to outlive the container.
WORKDIR /srv/crm
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/attrsync"]
