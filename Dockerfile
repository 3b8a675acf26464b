# pyvol's image. `make plugin` makes the managed plugin's root file system from it. For amd64 and arm64.
#
# Packages from PyPI are pinned by hash. CONTRIBUTING.md says how to update the pins.

FROM python:3.13-slim AS build
WORKDIR /src
COPY packaging/requirements-build.txt packaging/requirements.txt packaging/
# --target is a directory that does not depend on the Python version; the last stage copies it.
RUN python3 -m pip install --no-cache-dir --root-user-action=ignore --require-hashes -r packaging/requirements-build.txt \
 && python3 -m pip install --no-cache-dir --only-binary :all: --require-hashes -r packaging/requirements.txt \
        --target /opt/pyvol \
 && rm -rf /opt/pyvol/bin
COPY pyproject.toml README.md LICENSE ./
COPY plugin plugin
RUN python3 -m pip install --no-cache-dir --no-index --no-deps --no-build-isolation . --target /opt/pyvol

FROM python:3.13-slim
# mount.nfs comes from Debian's archive; apt verifies its signatures.
RUN apt-get -q update \
 && apt-get -q -y install --no-install-recommends nfs-common \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
# Nothing is installed after this, so pip is removed. The .pth file lets Python find /opt/pyvol.
RUN python3 -m pip uninstall --yes --quiet --root-user-action=ignore pip \
 && rm -rf /usr/local/lib/python3*/ensurepip /usr/share/python-wheels \
 && echo /opt/pyvol > "$(python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/pyvol.pth" \
 && ln -s /opt/pyvol/bin/pyvol /usr/local/bin/pyvol \
 && mkdir -p /mnt/pyvol /paths /var/lib/pyvol
COPY --from=build /opt/pyvol /opt/pyvol
ENTRYPOINT ["/usr/local/bin/pyvol"]
CMD ["serve"]
