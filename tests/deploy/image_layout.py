#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks an image archive: `image_layout.py FILE ARCH...` fails with what is wrong in it.

Every digest and size must be that of the content, every reference must lead somewhere and every blob must be
referred to, by the OCI index and, for the first image, by docker's manifest alike.
"""

import gzip
import hashlib
import io
import json
import sys
import tarfile

PROGRAMS = ("./usr/sbin/egressd", "./usr/sbin/egressctl", "./usr/libexec/egressd/egress-cni")
# How a registry and a node count: what is pulled.
SIZE_LIMIT = 15_000_000


def read_archive(path):
    with tarfile.open(path) as archive:
        return {member.name.removeprefix("./"): archive.extractfile(member).read()
                for member in archive if member.isfile()}


class Checker:
    def __init__(self, files):
        self.files = files
        self.seen = set()

    def blob(self, descriptor, kind):
        algorithm, digest = descriptor["digest"].split(":")
        assert algorithm == "sha256", descriptor
        assert descriptor["mediaType"] == f"application/vnd.oci.image.{kind}", descriptor
        name = f"blobs/sha256/{digest}"
        data = self.files[name]
        assert hashlib.sha256(data).hexdigest() == digest, f"{name} is not what its name says"
        assert len(data) == descriptor["size"], f"{name}: {len(data)} bytes, {descriptor['size']} written"
        self.seen.add(name)
        return data

    def image(self, descriptor):
        """(config as read, names of config and layer)"""
        manifest = json.loads(self.blob(descriptor, "manifest.v1+json"))
        config = json.loads(self.blob(manifest["config"], "config.v1+json"))
        [layer] = manifest["layers"]
        packed = self.blob(layer, "layer.v1.tar+gzip")
        unpacked = gzip.decompress(packed)
        [diff] = config["rootfs"]["diff_ids"]
        assert "sha256:" + hashlib.sha256(unpacked).hexdigest() == diff, "the layer is not what the config says"
        assert config["architecture"] == descriptor["platform"]["architecture"], descriptor
        assert config["config"]["Cmd"] == ["egressd", "run", "--from", "kube"], config
        assert len(packed) < SIZE_LIMIT, f"{len(packed)} bytes compressed, at most {SIZE_LIMIT} are meant"
        check_files(unpacked, config["architecture"])
        print(f"# {config['architecture']}: {len(packed) / 1e6:.1f} MB compressed, {len(unpacked) / 1e6:.1f} MB unpacked")
        return config, [f"blobs/sha256/{item['digest'].split(':')[1]}" for item in (manifest["config"], layer)]


def check_files(layer, architecture):
    machine = {"amd64": 62, "arm64": 183}[architecture]
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        members = {member.name: member for member in archive}
        for name, member in members.items():
            assert (member.uid, member.gid, member.uname) == (0, 0, ""), f"{name} has an owner"
            assert not member.mode & 0o6000, f"{name} is setuid or setgid"
            assert member.isdir() or not member.mode & 0o022, f"{name} can be written by others"
            assert member.isdir() or member.isreg(), f"{name} is neither file nor directory"
        for name in PROGRAMS:
            header = archive.extractfile(members[name]).read(20)
            assert header[:4] == b"\x7fELF" and header[18] == machine, f"{name} is not for {architecture}"
            assert members[name].mode == 0o755, name
        assert "./usr/share/doc/egressd/LICENSE" in members
        versions = [name for name in members if name.startswith("./var/lib/dpkg/status.d/")]
        assert versions, "no library's version is told"
        for name in versions:
            package = name.rsplit("/", 1)[1]
            text = archive.extractfile(members[name]).read().decode()
            assert f"Package: {package}\n" in text and "\nVersion: " in text, f"{name}: {text}"
            assert f"./usr/share/doc/{package}/copyright" in members, f"no licence of {package}"


def main():
    path, *architectures = sys.argv[1:]
    files = read_archive(path)
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    checker = Checker(files)
    images = [checker.image(descriptor) for descriptor in json.loads(files["index.json"])["manifests"]]
    assert [config["architecture"] for config, _ in images] == architectures, path
    unused = {name for name in files if name.startswith("blobs/")} - checker.seen
    assert not unused, f"nothing refers to {unused}"
    [docker] = json.loads(files["manifest.json"])
    assert [docker["Config"], *docker["Layers"]] == images[0][1], docker
    assert len(docker["RepoTags"]) == 1 and ":" in docker["RepoTags"][0], docker


if __name__ == "__main__":
    main()
