# SPDX-License-Identifier: MIT
#
# The image of tiketi: docs/operations.md, "Image". `make image` builds it from the source archive of what is committed,
# which has the bundled pages; a checkout works too, and then the build needs the npm registry. The base is an argument,
# to be pinned by digest; Debian 12 (debian:bookworm-slim) builds as well.
ARG BASE=debian:trixie-slim

# ---- the programs, and the names of the packages that they load ----
FROM ${BASE} AS build
WORKDIR /src
COPY . .
RUN src/deps.sh build
# As Debian hardens its own. Function names stay, for whoever reads a backtrace.
RUN make -j"$(nproc)" all \
        CFLAGS='-fstack-protector-strong -fstack-clash-protection -D_FORTIFY_SOURCE=2' LDFLAGS='-Wl,-z,relro,-z,now' \
    && mkdir -p /out/usr/bin /out/usr/share/doc/tiketi \
    && cp build/tiketi build/tiketi-* /out/usr/bin/ \
    && strip --strip-debug /out/usr/bin/* \
    && cp LICENSE CHANGELOG.md /out/usr/share/doc/tiketi/ \
    && cp build/web/licenses.txt /out/usr/share/doc/tiketi/licenses-of-pages.txt \
    && src/runtime_packages.sh build/tiketi build/tiketi-* >/out/usr/share/doc/tiketi/packages

# ---- what runs ----
FROM ${BASE} AS runtime
COPY --from=build /out/ /
RUN apt-get -qq update \
    && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install \
        $(cat /usr/share/doc/tiketi/packages) >/dev/null \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/log/* \
    && groupadd --gid 10001 tiketi \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin tiketi \
    && find / -xdev -type f -perm /6000 -exec chmod ug-s {} +

# ---- what is in it ----
FROM runtime AS sbom
COPY src/sbom.sh package.json /
RUN /sbom.sh /package.json >/sbom.spdx.json

FROM runtime
COPY --from=sbom /sbom.spdx.json /usr/share/doc/tiketi/
ARG BASE
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=
LABEL org.opencontainers.image.title="tiketi" \
      org.opencontainers.image.description="Virtual waiting room and ticket admission" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${BASE}"
# By number, so that runAsNonRoot can be judged without the image's list of users. It writes no file.
USER 10001:10001
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 CMD ["/usr/bin/tiketi", "probe", "--timeout", "4s"]
ENTRYPOINT ["/usr/bin/tiketi"]
CMD ["serve"]
