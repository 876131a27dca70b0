/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of this directory only. */
#ifndef EGRESSD_DATAPATH_INTERNAL_H
#define EGRESSD_DATAPATH_INTERNAL_H

#include <limits.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "datapath/datapath.h"
#include "datapath/table_maps.h"

/*
 * Pins besides those that the contract names, relative to the versioned directory. The programs in force are pinned, so
 * that a new agent can attach them to an interface before it has compiled anything. "qdiscs/<ifindex>" is an empty
 * directory: the clsact qdisc of that interface is our making, and ours to remove when nobody uses it.
 */
#define PIN_FROM_POD "from_pod"
#define PIN_TO_POD   "to_pod"
#define PIN_QDISCS   "qdiscs"

/* The two programs, in the order in which arrays hold them. */
enum hook { HOOK_FROM_POD, HOOK_TO_POD, HOOK_COUNT };

const char *hook_program_name(enum hook hook); /* name of the BPF program */
const char *hook_pin_name(enum hook hook);     /* "from_pod", "to_pod" */

/* Table memory and the programs that read it: they live and die together. */
struct table_set {
	struct table_maps tables; /* mapped; for reading in a read-only datapath */
	int program_fd[HOOK_COUNT];
	uint32_t program_id[HOOK_COUNT];
	struct loading *loading; /* the programs are still on their way, and have no descriptors yet; NULL: they are here */
};

/* A pinned map that outlives programs, tables and agents. */
struct shared_map {
	char *name;
	int fd;
};

/* An egressd of another layout that is taken over from. */
struct predecessor {
	char *directory; /* NULL: none */
	unsigned int version;
	bool abandoned; /* its maps are not those that packets are judged by */
};

/* Who is called back while the kernel is waited for. */
struct waiting {
	void (*callback)(void *data); /* NULL: nobody */
	void *data;
};

struct datapath {
	char *parent;    /* the user's --pin */
	char *directory; /* parent/v<EGRESS_CONTRACT_VERSION> */
	bool read_only;
	enum attach_kind kind; /* never ATTACH_AUTO */
	int cpu_count;         /* possible CPUs: the length of a per-CPU value */

	struct shared_map *maps; /* every map of the programs but the tables and those of libbpf's own making */
	size_t map_count;
	/* Descriptors of the maps that the contract names; borrowed from `maps`. */
	int endpoints, endpoints_overflow, allowed, dropped, drop_log, drop_log_state;
	int flows, flows_beside, flow_shares, flow_rings_own, flow_rings_pool, fragments;
	uint32_t drop_log_entries;
	/* Endpoint buckets that were given up and may still be read, by number. */
	bool given_up[EGRESS_ENDPOINT_BUCKETS];
	bool any_given_up;

	struct predecessor predecessor;

	struct table_set *in_force; /* NULL: none yet */
	struct table_set *made;     /* by datapath_new_tables, not committed */
	struct table_set *foreseen; /* by datapath_foresee_tables, not asked for yet */
	struct waiting waiting;

	int clock;    /* program that reads the kernel's jiffies; -1 until it is needed */
	uint32_t hz;  /* 0: not measured */
	int grace[2]; /* a map of maps and its only element, for grace periods; -1 until needed */
};

/* ---------------------------------------------------------------- datapath.c */

/* A datapath with names only, nothing opened, of the directory of one version below `pin`. */
int datapath_new(const char *pin, unsigned int version, struct datapath **out);
/* For _cleanup_. */
void datapath_cleanup(struct datapath **datapath);

/* ---------------------------------------------------------------- error.c */

/* Sets the sentence of datapath_error() and returns `error`. */
int fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same, followed by the text of -error and by the first warning that libbpf gave since the last failure. */
int fail_errno(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* From now on libbpf's messages go to fail_errno and the debug log instead of standard error. */
void capture_libbpf_messages(void);
/* After a step whose failure was expected. */
void forget_libbpf_warning(void);

/* ---------------------------------------------------------------- bpffs.c */

/*
 * Makes sure that `parent` is a directory on a bpffs, mounting one if necessary, and that `directory` below it exists,
 * root-only.
 */
int bpffs_prepare(const char *parent, const char *directory);
bool bpffs_is(const char *path);
/* Whether what is made at that path, where nothing need be yet, is on one that is mounted; false of a relative one. */
bool bpffs_reaches(const char *path);
/* Removes `directory` and all in it, then parent and the mount on it if they are empty and our own. */
int bpffs_remove(const char *parent, const char *directory);
/* Removes what is in `directory` but for the names in `kept`, which ends with NULL, and leaves it. */
int bpffs_clear(const char *directory, const char *const *kept);
/* Whether nothing is in it; also false where it cannot be read. */
bool bpffs_is_empty(const char *path);
/* The latter alone; 0 also where it is not empty. */
int bpffs_remove_parent(const char *parent);
/* The numbers N for which there is a directory parent/v<N> on a bpffs; the caller frees *out. */
int bpffs_versions(const char *parent, unsigned int **out, size_t *count);
/* "<directory>/<name>" into a buffer of PATH_MAX bytes. 0 or -ENAMETOOLONG. */
int pin_path(const struct datapath *datapath, const char *name, char path[PATH_MAX]);
/* Creates a directory below the versioned one if it is missing. */
int pin_subdirectory(const struct datapath *datapath, const char *name);
/*
 * Calls back with each number that starts a name in a directory below the versioned one; a missing directory is empty.
 */
typedef int (*pin_visitor)(uint32_t number, const char *rest, void *data);
int pin_numbers(const struct datapath *datapath, const char *name, pin_visitor visit, void *data);

/* ---------------------------------------------------------------- maps.c */

/* The programs and maps of this build, not loaded. The caller closes it. */
int object_open(struct bpf_object **out);
/* Opens every shared map from its pin, or creates and pins it. */
int shared_maps_open(struct datapath *datapath);
void shared_maps_close(struct datapath *datapath);
/* Makes the object use the shared maps instead of creating its own. */
int shared_maps_reuse(const struct datapath *datapath, struct bpf_object *object);

/* Borrowed; -1: there is none of that name. */
int shared_map_fd(const struct datapath *datapath, const char *name);

/* ---------------------------------------------------------------- migrate.c */

/* In this order; each does nothing where there is no predecessor. check: before anything is touched. */
int migration_check(struct datapath *datapath);
/* Before our maps are made. */
int migration_prepare(struct datapath *datapath);
/* When they are made. */
int migration_begin(struct datapath *datapath);
/* When our programs are in force. */
int migration_finish(struct datapath *datapath);

/* ---------------------------------------------------------------- programs.c */

void table_set_free(struct table_set *set);
/* Pins the new tables and programs where there are none, and touches no interface. */
int table_set_pin_first(struct datapath *datapath);
/* Takes over what a predecessor pinned; 0 also where there is nothing that fits together. */
int table_set_adopt(struct datapath *datapath);

/* ---------------------------------------------------------------- loading.c */

/*
 * bpf_object__load beside the caller. start takes the object over, also on failure; every start is followed by a finish,
 * which waits and gives the loaded object to the caller, who closes it, or the error, and frees the rest. waiting: who is
 * called back meanwhile, or NULL.
 */
int loading_start(struct bpf_object *object, struct loading **out);
int loading_finish(struct loading *loading, const struct waiting *waiting, struct bpf_object **object);

/* ---------------------------------------------------------------- attach*.c */

/*
 * A way of attaching. Interfaces are named by ifindex in the network namespace of the caller.
 *  attach   the program is attached, or takes the place of ours that is
 *  replace  only the latter: -ENODEV where ours is not attached (any more)
 *  detach   ours is gone; 0 also where it was not there
 *  program  the id of our program that is attached; -ENODEV
 *  list     calls back with every interface that carries one of ours
 */
typedef int (*attachment_visitor)(uint32_t ifindex, void *data);
struct attachment {
	enum attach_kind kind;
	int (*attach)(struct datapath *datapath, uint32_t ifindex, enum hook hook, int program_fd);
	int (*replace)(struct datapath *datapath, uint32_t ifindex, enum hook hook, int program_fd);
	int (*detach)(struct datapath *datapath, uint32_t ifindex, enum hook hook);
	int (*program)(struct datapath *datapath, uint32_t ifindex, enum hook hook, uint32_t *id);
	int (*list)(struct datapath *datapath, attachment_visitor visit, void *data);
};
extern const struct attachment tcx_attachment, clsact_attachment;

/*
 * The clsact qdiscs that are our making: calls back with each, and whether others have filters on it. clsact_release
 * removes such a one if nobody uses it; if others do, it is theirs from now on.
 */
typedef int (*qdisc_visitor)(uint32_t ifindex, bool others, void *data);
int clsact_marked(struct datapath *datapath, qdisc_visitor visit, void *data);
int clsact_release(const struct datapath *datapath, uint32_t ifindex);

/* Programs of others that stand where ours stood give way to ours; what else stands there stays. */
int clsact_reclaim(uint32_t ifindex, const int program_fd[HOOK_COUNT]);

/* Whether the kernel has TCX, found by trying. */
bool tcx_supported(void);

/* Id of a program or map behind a descriptor. 0 or -errno. */
int program_id(int fd, uint32_t *id);
int map_id(int fd, uint32_t *id);

/*
 * Every attached interface gets the programs of `set`. On failure those already switched get back what they had.
 */
int attachments_switch(struct datapath *datapath, const struct table_set *set);

/* ---------------------------------------------------------------- endpoints.c */

/* After a grace period: buckets that were given up before it are as good as new, so that their next use needs none. */
int endpoints_tidy(struct datapath *datapath);

/* ---------------------------------------------------------------- check.c, clock.c */

/*
 * Loads a program that does nothing but read the clock; also shows that the kernel takes programs at all. Descriptor or
 * -errno.
 */
int clock_program_load(void);

#endif
