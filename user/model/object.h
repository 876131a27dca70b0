/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kubernetes objects as plain structs: the fields that decide about egress and nothing else.
 *
 * Objects are immutable once decoded and counted by reference: object_ref / object_unref. Every string and array in an
 * object belongs to it and lives as long as it does. Strings are never NULL unless a comment says so.
 */
#ifndef EGRESSD_MODEL_OBJECT_H
#define EGRESSD_MODEL_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/address.h"

enum object_kind {
	OBJECT_NETWORK_POLICY, /* networking.k8s.io/v1 */
	OBJECT_NAMESPACE,      /* v1 */
	OBJECT_POD,            /* v1 */
	OBJECT_SERVICE,        /* v1 */
	OBJECT_ENDPOINT_SLICE, /* discovery.k8s.io/v1 */
	OBJECT_NODE,           /* v1 */
	OBJECT_KIND_COUNT
};

/* "NetworkPolicy", ... ; never NULL. */
const char *object_kind_name(enum object_kind kind);

/* Where something stands. line and column count from 1; 0: unknown. file may be NULL (objects from the API). */
struct place {
	const char *file;
	unsigned int line;
	unsigned int column;
};

struct label {
	const char *key;
	const char *value;
};

/* Sorted by key, keys unique. */
struct label_list {
	struct label *items;
	size_t count;
};

/* Value of a label, or NULL. */
const char *label_list_get(const struct label_list *labels, const char *key);

enum selector_operator { SELECTOR_IN, SELECTOR_NOT_IN, SELECTOR_EXISTS, SELECTOR_DOES_NOT_EXIST };

struct selector_requirement {
	const char *key;
	enum selector_operator op;
	const char **values; /* sorted, unique */
	size_t value_count;
};

/* metav1.LabelSelector; matchLabels are requirements with SELECTOR_IN and one value. No requirement: matches all. */
struct label_selector {
	struct selector_requirement *requirements;
	size_t count;
};

/* metav1.LabelSelector semantics: NotIn and DoesNotExist also match where the key is absent. */
bool label_selector_matches(const struct label_selector *selector, const struct label_list *labels);

/* The label with its own name that the API server gives every namespace, and lets nobody change. */
#define NAMESPACE_NAME_LABEL "kubernetes.io/metadata.name"

/*
 * Does a namespaceSelector match a namespace of which only the name is known? Its other labels may be any: whatever is
 * required of them does not hold, neither NotIn nor DoesNotExist.
 */
bool label_selector_matches_name(const struct label_selector *selector, const char *namespace);

enum transport { TRANSPORT_TCP, TRANSPORT_UDP, TRANSPORT_SCTP, TRANSPORT_COUNT };
const char *transport_name(enum transport transport); /* "TCP", ... */

enum port_kind { PORT_ANY, PORT_NUMBER, PORT_NAME };

/* NetworkPolicyPort. */
struct policy_port {
	struct place place;
	enum transport transport;
	enum port_kind kind;
	uint16_t first, last; /* PORT_NUMBER: port .. endPort (last == first without endPort) */
	const char *name;     /* PORT_NAME, else NULL */
};

/* IPBlock. The cidr's host bits are kept as written; matching ignores them. */
struct ip_block {
	struct ip_prefix cidr;
	struct ip_prefix *except;
	struct place *except_places; /* as many as except */
	size_t except_count;
};

/* NetworkPolicyPeer: either a block, or at least one selector. */
struct policy_peer {
	struct place place;
	bool has_pod_selector, has_namespace_selector, has_block;
	struct label_selector pod_selector;
	struct label_selector namespace_selector;
	struct ip_block block;
};

/* NetworkPolicyEgressRule. No peer: every destination. No port: every port of every protocol. */
struct egress_rule {
	struct place place;
	struct policy_port *ports;
	size_t port_count;
	struct policy_peer *peers;
	size_t peer_count;
};

struct network_policy {
	struct label_selector pod_selector;
	bool isolates_egress; /* policyTypes says Egress, or is absent and there are egress rules */
	/* For `check` alone: egress is there and empty, policyTypes absent. Neither compared nor encoded. */
	bool empty_egress;
	struct egress_rule *rules;
	size_t rule_count;
};

struct container_port {
	const char *name; /* never empty: ports without a name are not kept */
	enum transport transport;
	uint16_t port;
};

/* A port of the pod's node that is forwarded to the pod: containers[].ports[] with hostPort. */
struct host_port {
	enum transport transport;
	uint16_t host_port;
	uint16_t port;             /* of the pod: containerPort */
	struct ip_address address; /* hostIP; family 0: every address of the node */
};

enum pod_phase { POD_PENDING, POD_RUNNING, POD_SUCCEEDED, POD_FAILED, POD_UNKNOWN };

/* Annotation that exempts a pod that routes for others from the source check, where annotations are trusted:
 * "egressd.io/router": "true". */
struct pod {
	struct ip_address *addresses; /* status.podIPs (or podIP); at most one a family */
	size_t address_count;
	struct container_port *ports; /* in the order of containers, then init containers with restartPolicy Always */
	size_t port_count;
	struct host_port *host_ports; /* in the same order */
	size_t host_port_count;
	enum pod_phase phase;         /* absent: POD_RUNNING, manifests written by hand rarely have it */
	bool ready;                   /* status.conditions has Ready "True"; without that condition: phase is Running */
	bool host_network;
	bool terminating;             /* metadata.deletionTimestamp is set */
	bool router;
	int64_t created;              /* metadata.creationTimestamp, seconds since 1970; 0: unknown */
	const char *node_name;        /* "" where absent */
	const char *interface;        /* annotation egressd.io/interface, or NULL */
	const char *netns;            /* annotation egressd.io/netns, or NULL */
	/*
	 * Annotation kubernetes.io/config.mirror: this is the API's image of a static pod, which its kubelet and the
	 * container runtime know by this UID; NULL: it is not.
	 */
	const char *static_uid;
	struct place interface_place; /* of that annotation */
};

enum target_kind { TARGET_SAME, TARGET_NUMBER, TARGET_NAME };

struct service_port {
	const char *name; /* "" where absent */
	enum transport transport;
	uint16_t port;
	uint16_t node_port; /* 0: none */
	enum target_kind target_kind;
	uint16_t target_port;    /* TARGET_NUMBER */
	const char *target_name; /* TARGET_NAME, else NULL */
};

struct service {
	struct ip_address *cluster_ips; /* empty for headless and ExternalName */
	size_t cluster_ip_count;
	struct ip_address *external_ips; /* spec.externalIPs and status.loadBalancer.ingress[].ip */
	size_t external_ip_count;
	struct service_port *ports;
	size_t port_count;
	struct label_selector selector;
	bool has_selector;
	bool headless;
	bool external_name;
	bool publish_not_ready; /* spec.publishNotReadyAddresses */
	bool node_local;        /* internalTrafficPolicy or externalTrafficPolicy is Local */
};

struct slice_endpoint {
	struct ip_address *addresses;
	size_t address_count;
	bool ready, serving, terminating; /* conditions; absent: ready and serving true, terminating false */
	const char *target_pod;           /* targetRef of kind Pod: its name, or NULL */
};

struct slice_port {
	const char *name; /* "" where absent */
	enum transport transport;
	bool has_port; /* absent: all ports */
	uint16_t port;
};

struct endpoint_slice {
	const char *service; /* label kubernetes.io/service-name, or "" */
	struct slice_endpoint *endpoints;
	size_t endpoint_count;
	struct slice_port *ports;
	size_t port_count;
};

struct node {
	struct ip_address *addresses; /* InternalIP and ExternalIP */
	size_t address_count;
};

struct object {
	unsigned int references;
	enum object_kind kind;
	const char *name;
	const char *namespace; /* "" for cluster-scoped kinds; "default" where a manifest says none */
	const char *uid;       /* "" where absent */
	struct place place;    /* first line of the document */
	struct label_list labels; /* a namespace's always hold kubernetes.io/metadata.name */
	void *memory;          /* what the decoder allocated; opaque */
	union {
		struct network_policy policy;
		struct pod pod;
		struct service service;
		struct endpoint_slice slice;
		struct node node;
	};
};

/* A Pod of which nothing is known but who it is, with one reference. 0 or -ENOMEM. */
int object_new_pod(const char *namespace, const char *name, const char *uid, struct object **out);

struct object *object_ref(struct object *object);
/* Drops a reference; frees with the last one. NULL is allowed. */
void object_unref(struct object *object);

/* Same kind, namespace, name and equal in everything that decides about egress (places and uid do not count). */
bool object_equal(const struct object *a, const struct object *b);

#endif
