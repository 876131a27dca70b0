/* SPDX-License-Identifier: Apache-2.0 */
/* Ground for tests of attachment that run in both kinds: a pod, a datapath of the kind, the pod's endpoint. */
#ifndef EGRESSD_TESTS_BPF_ATTACH_GROUND_H
#define EGRESSD_TESTS_BPF_ATTACH_GROUND_H

#include "attach.h"

static struct pod pod;
static struct datapath *datapath;
static enum attach_kind kind;

static inline int set_up(void **state)
{
	struct egress_endpoint endpoint;

	kind = *(enum attach_kind *)*state;
	pod_start(&pod);
	datapath = open_with(kind);
	endpoint = endpoint_of(&pod);
	check(datapath_endpoint_put(datapath, &endpoint));
	return 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	if (datapath)
		check(datapath_remove(datapath));
	datapath_close(datapath);
	datapath = NULL;
	pod_stop(&pod);
	assert_int_equal(access(EGRESS_PIN_PARENT, F_OK), -1);
	return 0;
}

static inline bool has_qdisc(void)
{
	return !system("tc qdisc show dev host0 | grep -q clsact");
}

static enum attach_kind tcx = ATTACH_TCX, clsact = ATTACH_CLSACT;

/* clang-format off */
#define tcx_test(function) { "tcx: " #function, function, set_up, tear_down, &tcx }
#define clsact_test(function) { "clsact: " #function, function, set_up, tear_down, &clsact }
#define test_of_both(function) tcx_test(function), clsact_test(function)
/* clang-format on */

static inline int enter(void **state)
{
	(void)state;
	return enter_namespaces();
}

#endif
