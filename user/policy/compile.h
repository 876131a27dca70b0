/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a compiled policy, and the steps that make it, in their order. Every step returns 0 or a negative errno
 * and, for
 * -EINVAL and -E2BIG, has added its error to compile.problems. Numbers ("id") index the array that their comment names.
 */
#ifndef EGRESSD_POLICY_COMPILE_H
#define EGRESSD_POLICY_COMPILE_H

#include <egressd/tables.h>

#include "base/arena.h"
#include "policy/intern.h"
#include "policy/number_sets.h"
#include "policy/policy.h"
#include "policy/ranges.h"

#define NONE UINT32_MAX

/*
 * Every protocol and port is a position on one axis: 0 for protocols without ports, then the ports of each transport in
 * turn.
 */
#define POSITION_PORTLESS 0u
#define POSITION_COUNT (1u + TRANSPORT_COUNT * 65536u)
_Static_assert((int)TRANSPORT_TCP == (int)EGRESS_PORT_TCP && (int)TRANSPORT_UDP == (int)EGRESS_PORT_UDP &&
	       (int)TRANSPORT_SCTP == (int)EGRESS_PORT_SCTP, "one order of transports");

static inline uint32_t port_position(enum transport transport, uint16_t port)
{
	return 1 + (uint32_t)transport * 65536 + port;
}

/* Positions first .. last. */
struct port_span {
	uint32_t first, last;
};

/* A namespace that exists, or that a pod or a policy is in. */
struct namespace_entry {
	const char *name;
	const struct label_list *labels; /* NULL: it has no Namespace object, only its name is known */
	uint32_t *groups; /* ids of its pod groups; on the heap */
	size_t group_count, group_capacity;
};

/* Pods with the same namespace, labels and named ports: no policy can tell them apart. */
struct pod_group {
	uint32_t namespace_id;
	const struct object *pod; /* one of them */
	uint32_t destinations;    /* number set: the destination sets whose selectors select them */
	uint32_t names;           /* id of the resolution of the port names in use */
	uint32_t policy_set;      /* policy_sets: what isolates the group's local pods */
	bool local;               /* there are local ones */
};

/* An address that is something. */
struct point {
	struct ip_address address;
	const struct object *pod; /* the pod that has it, or NULL */
	uint32_t group;           /* its group, or NONE */
	uint32_t claims;          /* pods that say they have it */
	uint32_t blocks;          /* number set: the destination sets whose blocks hold it */
	uint32_t plain_class;     /* as an address; NONE until it is asked for */
	uint32_t class;           /* with the services on it; NONE: only a backend, not in the trie */
	bool own_node;            /* of this node, allowed to all its pods */
	bool any_node;            /* of a node: NodePorts are served here */
	bool service;             /* services or hostPorts are served here; not only NodePorts */
	bool backend;             /* a service depends on what stands behind it */
	bool isolated_local;      /* an isolated local pod says it is its own */
};

/* Peers of one or more rules, taken together: the unit in which addresses are told apart. */
struct destination_set {
	uint32_t *classes; /* that it holds; ascending */
	size_t class_count;
};
#define DESTINATION_EVERYWHERE NONE

struct compiled_rule {
	struct policy_rule rule;
	uint32_t destination;    /* destination_sets, or DESTINATION_EVERYWHERE */
	bool every_port;         /* the rule says no ports: every protocol */
	struct port_span *spans; /* sorted, disjoint */
	size_t span_count;
	uint32_t *names;         /* ids of the port names (policy.port_names) */
	size_t name_count;
};

/* A policy in force: it isolates the egress of at least one local pod. */
struct compiled_policy {
	struct object *object;
	uint32_t first_rule, rule_count; /* rules */
};

/* What tells address classes apart; padding-free, it is an intern key. */
struct class_key {
	uint32_t destinations; /* number set of destination sets */
	uint32_t names;        /* how port names resolve there */
	uint32_t own_node;     /* 0 or 1 */
	uint32_t services;     /* service_maps, 0: none */
};

/* Where a service sends what comes to one of its ports; padding-free, part of an intern key. */
struct target {
	uint32_t class;      /* plain class of the backend */
	uint32_t position;
	uint32_t self_point; /* the point, where it is an isolated local pod's own; else NONE */
};

/* The ports that are served at an address, in order of position; padding-free, part of an intern key. */
struct served_port {
	uint32_t position;
	uint32_t targets; /* id in policy.target_lists */
};

struct backend {
	uint32_t point;
	uint32_t position;
};

/* A service's port in one family, or the port of the node that a pod's hostPort is. */
struct service_front {
	const struct object *object; /* Service or Pod */
	const struct service_port *port;
	enum family family;
	uint32_t first_backend, backend_count; /* backends */
	uint32_t targets;                      /* id in target_lists */
};

/* A front at an address. */
struct service_listener {
	uint32_t point;
	uint32_t position;
	uint32_t front; /* fronts */
};

/* Positions that have a cell other than "denied by default"; padding-free, part of an intern key. */
struct row_span {
	uint32_t first, last;
	uint32_t cell;
};
#define ROW_DENIED 0 /* the row without spans */

/* A list of rules that hold at a class. */
struct row_state {
	bool names; /* one of them has port names */
	bool total; /* the last of them allows everything */
};

/* A set of policies together, or a variant of it for a pod that is a backend of its own destinations. */
struct compiled_set {
	uint32_t policies; /* number set, in policy.policy_sets */
	uint32_t self[FAMILY_COUNT]; /* variant: points that are the pod itself, or NONE */
	uint32_t *rows;    /* by class: id in policy.rows */
};

struct compiled_endpoint {
	uint32_t set;                /* sets, or NONE: open */
	uint32_t own[FAMILY_COUNT];  /* points of its own addresses, or NONE */
};

struct policy {
	struct arena *arena;
	struct object **objects; /* references to all that is pointed to */
	size_t object_count, object_capacity;
	const char *node_name; /* of this node, or NULL: unknown */
	bool all_pods_local;
	bool (*is_local)(const struct object *pod, void *data);
	void *is_local_data;

	struct intern namespace_names;
	struct namespace_entry *namespaces;
	size_t namespace_capacity;

	struct intern group_keys;
	struct pod_group *groups;
	size_t group_capacity;

	struct intern point_keys; /* struct ip_address */
	struct point *points;
	size_t point_capacity;

	struct compiled_policy *policies; /* in force, by namespace and name */
	size_t policy_count;
	struct compiled_rule *rules;
	struct policy_rule *rule_list; /* as policy_rules() gives it */
	size_t rule_count;
	size_t block_count; /* CIDRs and excepts in force */

	struct number_sets policy_sets; /* of policies */
	struct number_sets sets;        /* of destination_sets */
	struct intern destination_keys;
	struct destination_set *destinations;

	struct intern port_names;       /* transport, then the name */
	struct intern name_resolutions; /* arrays of struct resolved_name; 0: none */

	struct ranges blocks[FAMILY_COUNT];  /* values: number sets of destination sets */
	struct ranges classes[FAMILY_COUNT]; /* values: classes */
	struct intern class_keys;

	struct service_front *fronts;
	size_t front_count, front_capacity;
	struct backend *backends;
	size_t backend_count, backend_capacity;
	struct service_listener *listeners; /* sorted by point, then position */
	size_t listener_count, listener_capacity;
	struct service_listener *node_listeners[FAMILY_COUNT]; /* NodePorts; point NONE */
	size_t node_listener_count[FAMILY_COUNT], node_listener_capacity[FAMILY_COUNT];
	const struct object **derived; /* services whose backends come from pods, not slices */
	size_t derived_count, derived_capacity;
	struct intern target_lists;     /* arrays of struct target */
	struct intern service_maps;     /* arrays of struct served_port; 0: none */

	struct intern rows;      /* arrays of struct row_span */
	struct intern row_states; /* lists of rules; see row_states.c */
	struct row_state *states;
	size_t state_capacity;
	struct intern row_keys;  /* (state, names) */
	uint32_t *row_of_key;
	size_t row_key_capacity;

	struct compiled_set *sets_of_rows; /* see compiled_set */
	size_t set_count, set_capacity;

	struct policy_endpoint *endpoints; /* sorted */
	struct compiled_endpoint *compiled_endpoints;
	size_t endpoint_count, isolated_count;

	uint16_t *port_class; /* by position; position 0 has class 0 */
	uint32_t *port_class_first; /* by class: the lowest position of it; ascending */
	uint32_t port_class_count;

	bool packed;        /* see struct trie */
	size_t words;       /* of one bank */
};

/* What only lives while it is compiled. */
struct compile {
	struct policy *policy;
	struct store *store;
	const struct policy_options *options;
	struct problem_list *problems;
};

struct resolved_name {
	uint32_t name; /* id in port_names */
	uint32_t position;
};

/* ------------------------------------------------------------------ steps, in order */

/* pods.c: namespaces, groups, and the points that are pods. */
int compile_namespaces(struct compile *compile);
int compile_pods(struct compile *compile);
/* endpoints.c: local pods, the policies that isolate them. */
int compile_endpoints(struct compile *compile);
/* rules.c: the rules in force; their destination sets, evaluated on groups and blocks. */
int compile_rules(struct compile *compile);
/* services.c: nodes, services, their listeners and backends, as points. */
int compile_services(struct compile *compile);
/* classes.c: address classes, the value of every address. */
int compile_classes(struct compile *compile);
/* rows.c: what every policy set says of every class. */
int compile_rows(struct compile *compile);
/* port_classes.c: positions that every row treats alike. */
int compile_port_classes(struct compile *compile);
/* size.c: words that the tables take. */
int compile_size(struct compile *compile);

/* ------------------------------------------------------------------ shared by the steps and others */

/* Keeps a reference for as long as the policy lives. */
int policy_keep(struct policy *policy, struct object *object);

/* Has the pod addresses of its own that others may send to? Not: hostNetwork, finished. */
bool pod_is_peer(const struct object *pod);
/* Is it a source that this compile is for? */
bool pod_is_local(const struct policy *policy, const struct object *pod);
/* Has it hostPorts, and an address that this node forwards them to, or may forward them to for all that is known? */
bool pod_has_host_ports_here(const struct policy *policy, const struct object *pod);

/* The group, or NONE. -ENOMEM counts as NONE. */
uint32_t pod_find_group(const struct policy *policy, const struct object *pod);

bool namespace_find(const struct policy *policy, const char *name, uint32_t *id);
/* Does a namespaceSelector match the namespace? */
bool namespace_selected(const struct policy *policy, const struct label_selector *selector, uint32_t id);
/* Does the peer, of a policy in this namespace, select the pod by its labels? A peer that is a block does not. */
bool peer_selects(const struct policy *policy, const struct policy_peer *peer, const char *policy_namespace,
		  const struct object *pod);

/* Adds the point if it is new. 0 or -ENOMEM. */
int point_put(struct policy *policy, const struct ip_address *address, uint32_t *id);
const struct point *point_find(const struct policy *policy, const struct ip_address *address);
/* The number set of destination sets whose blocks hold the address. */
uint32_t blocks_at(const struct policy *policy, const struct ip_address *address);

bool block_contains(const struct ip_block *block, const struct ip_address *address);

/* The number of the named container port (FindPort: the first by name and transport). */
bool pod_find_port(const struct pod *pod, const char *name, enum transport transport, uint16_t *port);

/* A port name in use: its id in policy.port_names. 0; -ENOENT: nobody uses it; -ENOMEM. */
int port_name_find(const struct policy *policy, const char *name, enum transport transport, uint32_t *id);

const struct row_span *row_spans(const struct policy *policy, uint32_t row, size_t *count);
uint32_t row_cell(const struct policy *policy, uint32_t row, uint32_t position);

/* Adds an error of rule "limit" and returns -E2BIG. The object is the largest contributor, or NULL. */
int compile_limit(struct compile *compile, const struct object *object, const char *what, size_t limit);
/* The policy in force with the most rules and blocks, or NULL. */
const struct object *largest_policy(const struct policy *policy);

#endif
