/* SPDX-License-Identifier: Apache-2.0 */
/* Verdicts read from the words, by the same text as the kernel's programs read them. */
#include <errno.h>
#include <string.h>

#include "policy/table_walk.h"
#include "policy/tables_inside.h"

static bool find_class(const struct table_view *view, const struct egress_bank *bank, const struct ip_address *address,
		       uint32_t *class)
{
	uint32_t words[4];

	memcpy(words, address->bytes, sizeof(words));
	if (address->family == 4)
		return egress_class4(view, bank, words[0], class);
	return egress_class6(view, bank, words, class);
}

static int judge(const struct table_view *view, const struct egress_bank *bank, uint32_t set,
		 const struct ip_address *destination, uint8_t protocol, uint16_t port, struct table_verdict *out)
{
	struct table_verdict verdict = {.generation = bank->generation, .set = set};

	if (set == EGRESS_SET_OPEN)
		verdict.allow = true;
	if (set >= EGRESS_SET_FIRST) {
		if (!find_class(view, bank, destination, &verdict.class) || verdict.class >= bank->class_count ||
		    !egress_port_class(view, bank, protocol, port, &verdict.port_class) ||
		    verdict.port_class >= bank->port_class_count ||
		    !egress_cell(view, set, verdict.class, verdict.port_class, &verdict.cell))
			return -EINVAL;
		verdict.cell = egress_packet_cell(verdict.cell, protocol, port);
		verdict.allow = verdict.cell & EGRESS_CELL_ALLOW;
	}
	*out = verdict;
	return 0;
}

static const struct egress_bank *bank_in_force(const struct table_view *view)
{
	const struct egress_control *control = (const void *)view->words;
	uint32_t active;

	if (view->word_count < EGRESS_BLOCK_WORDS || control->magic != EGRESS_TABLES_MAGIC)
		return NULL;
	active = __atomic_load_n(&control->active, __ATOMIC_ACQUIRE);
	return active < EGRESS_BANKS ? &control->bank[active] : NULL;
}

int tables_verdict(const struct table_view *view, uint32_t endpoint_id, const struct ip_address *destination,
		   uint8_t protocol, uint16_t port, struct table_verdict *out)
{
	const struct egress_bank *bank = bank_in_force(view);
	uint32_t set = EGRESS_SET_PENDING;

	if (!bank || endpoint_id >= EGRESS_ENDPOINT_MAX)
		return -EINVAL;
	if (bank->generation && !egress_word(view, bank->sets + endpoint_id, &set))
		return -EINVAL;
	return judge(view, bank, set, destination, protocol, port, out);
}

static bool is_own_address(const struct object *pod, const struct ip_address *address)
{
	size_t i;

	for (i = 0; i < pod->pod.address_count; i++)
		if (ip_address_compare(&pod->pod.addresses[i], address) == 0)
			return true;
	return false;
}

int tables_verdict_pod(const struct tables *tables, const char *namespace, const char *name,
		       const struct ip_address *destination, uint8_t protocol, uint16_t port, struct table_verdict *out)
{
	const struct table_view view = {.words = tables->memory.words, .word_count = tables->memory.word_count};
	const struct egress_bank *bank = bank_in_force(&view);
	const struct bank_state *state;
	const struct policy_endpoint *endpoint;
	uint32_t set = EGRESS_SET_OPEN;

	if (!bank)
		return -EINVAL;
	state = &tables->banks[bank - tables->control->bank];
	endpoint = state->policy ? policy_endpoint(state->policy, namespace, name) : NULL;
	if (!endpoint)
		return judge(&view, bank, EGRESS_SET_PENDING, destination, protocol, port, out);
	if (endpoint->isolated)
		set = state->vectors[state->policy->compiled_endpoints[endpoint - state->policy->endpoints].set];
	/*
	 * The program compares the pod's own addresses, which are in its endpoint entry, before it looks into the
	 * tables.
	 */
	if (endpoint->isolated && is_own_address(endpoint->pod, destination)) {
		*out = (struct table_verdict){
			.allow = true,
			.generation = bank->generation,
			.set = set,
			.cell = EGRESS_CELL_ALLOW | EGRESS_RULE_SELF,
		};
		return 0;
	}
	return judge(&view, bank, set, destination, protocol, port, out);
}
