# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# OCI image layouts (image-spec 1.0), written as docker-archives too: for deploy/image/build.
#
# A prepared image is a directory: rootfs/, blobs/sha256/ and these one-line files: layer, diff, config, manifest, each
# "DIGEST SIZE" without "sha256:".

# Names in order, one time, no owners: the same files make the same archive.
layout_tar()
{
	tar --create --sort=name --mtime="@$1" --owner=0 --group=0 --numeric-owner --format=gnu --directory="$2" .
}

# layout_blob DIRECTORY: standard input becomes a blob; prints "DIGEST SIZE"
layout_blob()
{
	local digest

	mkdir -p "$1/blobs/sha256"
	cat >"$1/blob"
	digest=$(sha256sum "$1/blob" | cut --delimiter=' ' --fields=1)
	chmod 0644 "$1/blob"
	mv "$1/blob" "$1/blobs/sha256/$digest"
	echo "$digest $(stat --format=%s "$1/blobs/sha256/$digest")"
}

# layout_config ARCH CREATED DIFF TITLE COMMAND: the command as elements of a JSON list
layout_config()
{
	printf '{"created":"%s","architecture":"%s","os":"linux",' "$2" "$1"
	printf '"config":{"Env":["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],"Cmd":[%s],"WorkingDir":"/",' "$5"
	printf '"Labels":{"org.opencontainers.image.title":"%s",' "$4"
	printf '"org.opencontainers.image.licenses":"Apache-2.0","org.opencontainers.image.version":"%s"}},' "${version:?}"
	printf '"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created":"%s","created_by":"%s"}]}' \
		"$3" "$2" "deploy/image/build"
}

layout_manifest()
{
	printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",'
	printf '"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%s},' "$1" "$2"
	printf '"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:%s","size":%s}]}' \
		"$3" "$4"
}

# layout_add DIRECTORY ARCH EPOCH TITLE COMMAND: makes the blobs of one image from its rootfs/
layout_add()
{
	local directory=$1 created layer diff config

	created=$(date --utc --date="@$3" +%Y-%m-%dT%H:%M:%SZ)
	diff=$(layout_tar "$3" "$directory/rootfs" | sha256sum | cut --delimiter=' ' --fields=1)
	layer=$(layout_tar "$3" "$directory/rootfs" | gzip --no-name --best | layout_blob "$directory")
	config=$(layout_config "$2" "$created" "$diff" "$4" "$5" | layout_blob "$directory")
	echo "$layer" >"$directory/layer"
	echo "$config" >"$directory/config"
	# shellcheck disable=SC2086 # two words each
	layout_manifest $config $layer | layout_blob "$directory" >"$directory/manifest"
}

# layout_index NAME TAG DIRECTORY...
layout_index()
{
	local name=$1 tag=$2 separator='' directory digest size

	shift 2
	printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":['
	for directory; do
		read -r digest size <"$directory/manifest"
		printf '%s{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%s,' \
			"$separator" "$digest" "$size"
		printf '"platform":{"architecture":"%s","os":"linux"},' "$(basename "$directory")"
		printf '"annotations":{"io.containerd.image.name":"%s","org.opencontainers.image.ref.name":"%s"}}' \
			"$name" "$tag"
		separator=,
	done
	printf ']}'
}

# layout_pack FILE IMAGE EPOCH DIRECTORY...: an archive of these images; docker, which knows one, gets the first
layout_pack()
{
	local file=$1 image=$2 epoch=$3 staging directory name config layer

	shift 3
	# The full name, as containerd keeps it.
	case $image in
	*.*/* | *:*/* | localhost/*) name=$image ;;
	*/*) name=docker.io/$image ;;
	*) name=docker.io/library/$image ;;
	esac
	staging=$file.d
	rm -rf "$staging"
	mkdir -p "$staging"
	for directory; do
		cp --recursive --link "$directory/blobs" "$staging"
	done
	printf '{"imageLayoutVersion":"1.0.0"}' >"$staging/oci-layout"
	layout_index "$name" "${image##*:}" "$@" >"$staging/index.json"
	read -r config _ <"$1/config"
	read -r layer _ <"$1/layer"
	printf '[{"Config":"blobs/sha256/%s","RepoTags":["%s"],"Layers":["blobs/sha256/%s"]}]' "$config" "$image" "$layer" \
		>"$staging/manifest.json"
	layout_tar "$epoch" "$staging" >"$file.new"
	mv "$file.new" "$file"
	rm -rf "$staging"
}

# layout_sizes DIRECTORY ARCH: what a node pulls, and what that is on its disk
layout_sizes()
{
	local size

	read -r _ size <"$1/layer"
	printf '  %-6s %5.1f MB compressed, as pulled and stored by a registry; %5.1f MB unpacked\n' "$2" \
		"$(megabytes "$size")" "$(megabytes "$(layout_tar 0 "$1/rootfs" | wc --bytes)")"
}

megabytes()
{
	echo "$(($1 / 1000000)).$(($1 / 100000 % 10))"
}
