/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the programs cost before the first packet: instructions that the verifier looked at, and bytes of machine code.
 * Both grow unnoticed with every check that is added; tests/bench/budget says how far they may.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <egressd/contract.h>

#include "datapath/table_maps.h"
#include "egressd.skel.h"
#include "destinations.h"
#include "result.h"
#include "tests/bench/peers.skel.h"

static void report(const char *name, const struct bpf_program *program)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);
	struct result result = {.group = "verifier", .program = name};

	bench_check(!bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size), "%s: no information", name);
	/* Before 5.16 the kernel does not say. */
	if (info.verified_insns) {
		result.value = info.verified_insns;
		result.unit = "instructions verified";
		result_print(&result);
	}
	if (info.jited_prog_len) {
		result.value = info.jited_prog_len;
		result.unit = "bytes of machine code";
		result_print(&result);
	}
}

/* With the chunks of the tables in two maps: where they are in one, the programs are smaller. */
static struct egressd *load_egressd(struct table_maps *tables)
{
	struct egressd *egressd = egressd__open();

	bench_check(egressd != NULL, "cannot open the programs");
	bench_check(!table_maps_create(tables, egressd->obj, 2, false), "cannot make tables");
	bench_check(!egressd__load(egressd), "cannot load the programs");
	return egressd;
}

int main(void)
{
	struct table_maps tables = TABLE_MAPS_INIT;
	struct egressd *egressd = load_egressd(&tables);
	struct peers *peers = peers__open_and_load();

	bench_check(peers != NULL, "cannot load the peers");
	report("egress_from_pod", egressd->progs.egress_from_pod);
	report("egress_to_pod", egressd->progs.egress_to_pod);
	report("parse only", peers->progs.bench_parse_only);
	report("LPM per pod + connection table", peers->progs.bench_lpm_per_pod);
	report("connection table + LPM + policy hash", peers->progs.bench_identity_policy);
	egressd__destroy(egressd);
	table_maps_clear(&tables);
	peers__destroy(peers);
	return 0;
}
