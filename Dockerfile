# The registry as a container: Debian's nginx with the module, no build tools.
# docs/container.md tells how it is built and run.
#
#     docker build -t ngx-acr .
#     podman build --format docker -t ngx-acr .

ARG BASE=docker.io/library/debian:bookworm-slim

FROM $BASE AS build

RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        nginx nginx-dev gcc libc6-dev make \
        libhiredis-dev libjansson-dev libssl-dev libcurl4-openssl-dev

COPY . /src
RUN make -C /src install DESTDIR=/made \
    && strip --strip-debug /made/usr/lib/nginx/modules/*.so


FROM $BASE

ARG BASE
ARG REVISION=unknown
LABEL org.opencontainers.image.title="ngx_http_acr_module" \
      org.opencontainers.image.description="A container registry in nginx" \
      org.opencontainers.image.licenses="BSD-2-Clause" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.base.name="$BASE"

# nginx, what the module is linked with, certificates for registries elsewhere,
# and curl for the health check and the operator's API.
RUN apt-get update \
    && apt-get upgrade -y \
    && apt-get install -y --no-install-recommends \
        nginx libhiredis0.14 libjansson4 libssl3 libcurl4 \
        ca-certificates curl \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* /var/cache/debconf/* /var/log/* \
        /usr/share/nginx/html /var/www

COPY --from=build /made /
COPY LICENSE /usr/share/doc/ngx_http_acr_module/copyright
COPY conf/container/nginx.conf /etc/acr/
COPY conf/container/main.d /etc/acr/main.d
COPY conf/container/conf.d /etc/acr/conf.d

# An image that nginx would not start from is not made.  The directory is for
# www-data, as a registry's is that runs on Debian without a container, so that
# one can become the other.  It must be empty: a registry has an identity.
RUN nginx -e stderr -c /etc/acr/nginx.conf -t \
    && rm -rf /var/lib/acr /tmp/* \
    && install -d -m 750 -o 33 -g 33 /var/lib/acr

VOLUME /var/lib/acr
EXPOSE 5000 5001
USER 33:33

# Transfers under way may end.
STOPSIGNAL SIGQUIT

# Whether pulls work: a registry without its Redis is worth more than none.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["curl", "-fsS", "-o", "/dev/null", \
         "http://127.0.0.1:5001/health?writes=no"]

# Arguments go to nginx: "-t" tests the configuration.
ENTRYPOINT ["nginx", "-e", "stderr", "-c", "/etc/acr/nginx.conf"]
