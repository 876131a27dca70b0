# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# The files of an image: for deploy/image/build.

# rootfs_make DIRECTORY BUILD SYSROOT OBJCOPY CC
rootfs_make()
{
	local root=$1 build=$2 sysroot=${3%/} objcopy=$4 program

	mkdir -p "$root"/{dev,etc,proc,run,sys,tmp} "$root/usr/sbin" "$root/usr/share/doc/egressd"
	chmod 1777 "$root/tmp"
	# Names that a kubelet writes into /etc/hosts are to be found first.
	echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
	for program in egressd egressctl; do
		rootfs_program "$root/usr/sbin/$program" "$build/$program" "$objcopy"
	done
	rootfs_portable "$root/usr/libexec/egressd/egress-cni" "$build/egress-cni" "$sysroot" "$objcopy" "$5"
	install -m 0644 LICENSE "$root/usr/share/doc/egressd/LICENSE"
	rootfs_libraries "$root" "$sysroot" "$build"/{egressd,egressctl,egress-cni}
}

# rootfs_portable TARGET PROGRAM SYSROOT OBJCOPY CC: what is copied to the node takes its libraries along
rootfs_portable()
{
	local stripped name path loader='' files=()

	stripped=$(mktemp --directory)/$(basename "$2")
	rootfs_program "$stripped" "$2" "$4"
	while read -r name path; do
		if [ "$name" = "$path" ]; then
			loader=$3$path
		else
			files+=("$3$path")
		fi
	done < <(rootfs_closure "$3" "$stripped")
	deploy/image/portable "$1" "$5" "$loader" "${files[@]}" "$stripped"
	rm -r "$(dirname "$stripped")"
}

# rootfs_program TARGET PROGRAM OBJCOPY: without symbols and debugging data
rootfs_program()
{
	install -D -m 0755 "$2" "$1"
	"$3" --strip-all "$1"
}

# What the dynamic loader will ask for: the loader itself, and the libraries that are named in the file.
rootfs_needed()
{
	readelf --wide --program-headers "$1" | sed -n 's/.*program interpreter: \(.*\)]/\1/p'
	readelf --wide --dynamic "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'
}

# rootfs_find NAME SYSROOT MULTIARCH: where it is below the sysroot
rootfs_find()
{
	local candidate

	for candidate in "$1" "/lib/$3/$1" "/usr/lib/$3/$1"; do
		if [ "${candidate:0:1}" = / ] && [ -f "$2$candidate" ]; then
			echo "$candidate"
			return
		fi
	done
	echo "build: $1 is not to be found below ${2:-/}" >&2
	return 1
}

# rootfs_multiarch FILE: the directory of libraries for its machine
rootfs_multiarch()
{
	case $(readelf --file-header "$1" | sed -n 's/ *Machine: *//p') in
	*X86-64) echo x86_64-linux-gnu ;;
	AArch64) echo aarch64-linux-gnu ;;
	*)
		echo "build: $1 is for a machine that is not known" >&2
		return 1
		;;
	esac
}

# rootfs_closure SYSROOT FILE...: "NAME PATH" of all that they load; the loader's name is its path
rootfs_closure()
{
	local sysroot=$1 multiarch name path queue
	declare -A seen=()

	shift
	multiarch=$(rootfs_multiarch "$1")
	queue=("$@")
	while [ ${#queue[@]} -gt 0 ]; do
		while read -r name; do
			# The C library names the loader too, which programs name by its path.
			[ -z "${seen[${name##*/}]:-}" ] || continue
			seen[${name##*/}]=yes
			path=$(rootfs_find "$name" "$sysroot" "$multiarch") || return
			echo "$name $path"
			queue+=("$sysroot$path")
		done < <(rootfs_needed "${queue[0]}")
		queue=("${queue[@]:1}")
	done
}

# rootfs_libraries ROOT SYSROOT PROGRAM...: copies all that they load, and what licences and scanners want to know
rootfs_libraries()
{
	local root=$1 sysroot=$2 closure multiarch name path

	shift 2
	multiarch=$(rootfs_multiarch "$1")
	closure=$(rootfs_closure "$sysroot" "$@")
	while read -r name path; do
		# The loader's name stands in the programs; the libraries have one directory where it looks.
		if [ "$name" = "$path" ]; then
			install -D -m 0755 "$sysroot$path" "$root$path"
		else
			install -D -m 0644 "$sysroot$path" "$root/usr/lib/$multiarch/$name"
		fi
		rootfs_package "$root" "$sysroot" "$path"
	done <<<"$closure"
}

# rootfs_owner SYSROOT PATH: "NAME CONTROL-FILE" of the package that a file belongs to
rootfs_owner()
{
	local path real name

	real=$(realpath "$1$2")
	for path in "$2" "${real#"$1"}" "${2#/usr}" "/usr$2" "${real#"$1/usr"}"; do
		if [ -n "$1" ]; then
			name=$(cd "$1/packages" && grep -lFx -- "$path" ./*.list | head -n 1) || continue
			basename "$name" .list
			return
		fi
		name=$(dpkg-query --search "$path" 2>/dev/null | sed -n '1s/:.*//p') || continue
		echo "$name"
		return
	done
	echo "build: $2 belongs to no package" >&2
	return 1
}

# rootfs_package ROOT SYSROOT PATH: licence and version of a library, where programs that scan images look for them
rootfs_package()
{
	local root=$1 sysroot=$2 name

	name=$(rootfs_owner "$sysroot" "$3")
	[ ! -e "$root/var/lib/dpkg/status.d/$name" ] || return 0
	install -D -m 0644 "$(realpath "$sysroot/usr/share/doc/$name/copyright")" "$root/usr/share/doc/$name/copyright"
	mkdir -p "$root/var/lib/dpkg/status.d"
	if [ -n "$sysroot" ]; then
		cat "$sysroot/packages/$name.control"
	else
		dpkg-query --status "$name"
	fi | sed -n '/^\(Package\|Version\|Architecture\|Maintainer\|Source\): /p' >"$root/var/lib/dpkg/status.d/$name"
}
