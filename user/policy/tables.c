/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/tables.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "policy/tables_inside.h"

/* Below this, both banks have room in one memory, so that a change of policy needs no new maps. */
#define BOTH_BANKS_MAX_WORDS ((8u << 20) / 4)

/* Pod changes take words that only the next compile gives back. */
#define CHANGE_WORDS (8u * TRIE_SET_WORDS)

/* Where the parts of TABLES_BANK_FIXED() begin. */
#define FIXED_SETS       0u
#define FIXED_PORTS      EGRESS_ENDPOINT_MAX
#define PORTS_WORDS      (65536u / 2)
#define FIXED_IPV4_ROOT  (FIXED_PORTS + EGRESS_PORT_PROTOCOLS * PORTS_WORDS)
_Static_assert(FIXED_IPV4_ROOT + TRIE_IPV4_ROOT_WORDS == TABLES_FIXED_WORDS, "no holes");
_Static_assert(TABLES_BANK_FIXED(EGRESS_BANKS) <= EGRESS_CHUNK_WORDS, "in the first chunk");

size_t tables_words(const struct policy *policy)
{
	/* The next policy may be somewhat larger. */
	size_t own = policy->words - TABLES_FIXED_WORDS, bank = own + own / 4 + CHANGE_WORDS;

	return TABLES_BANK_FIXED(EGRESS_BANKS) + (bank < BOTH_BANKS_MAX_WORDS ? 2 * bank : bank);
}

size_t tables_least_words(const struct policy *policy)
{
	return TABLES_BANK_FIXED(EGRESS_BANKS) + policy->words - TABLES_FIXED_WORDS + CHANGE_WORDS;
}

int tables_new(uint32_t *words, size_t word_count, struct tables **out)
{
	struct tables *tables;

	if (word_count < TABLES_BANK_FIXED(EGRESS_BANKS))
		return -EINVAL;
	tables = calloc(1, sizeof(*tables));
	if (!tables)
		return -ENOMEM;
	if (memory_init(&tables->memory, words, word_count, TABLES_BANK_FIXED(EGRESS_BANKS)) < 0) {
		free(tables);
		return -ENOMEM;
	}
	tables->control = (struct egress_control *)(void *)words;
	tables->control->magic = EGRESS_TABLES_MAGIC;
	*out = tables;
	return 0;
}

static void bank_forget(struct bank_state *bank)
{
	forget_changes(bank);
	free(bank->vectors);
	*bank = (struct bank_state){0};
}

void tables_free(struct tables *tables)
{
	unsigned int bank;

	if (!tables)
		return;
	for (bank = 0; bank < EGRESS_BANKS; bank++)
		bank_forget(&tables->banks[bank]);
	memory_clear(&tables->memory);
	free(tables);
}

struct trie bank_trie(struct tables *tables, unsigned int bank)
{
	return (struct trie){
		.memory = &tables->memory,
		.bank = bank,
		.packed = tables->banks[bank].policy->packed,
	};
}

/* ------------------------------------------------------------------ writing a bank */

struct writer {
	struct tables *tables;
	const struct policy *policy;
	unsigned int bank;
	struct egress_bank header;
	uint32_t *row_addresses;
	uint32_t *vectors;
};

static int take_words(struct writer *writer, size_t count, uint32_t alignment, uint32_t *address)
{
	return memory_take(&writer->tables->memory, writer->bank, count, alignment, address);
}

/* The cell of a port class is that of its lowest position. */
static void write_row(const struct policy *policy, uint32_t row, uint32_t *cells)
{
	const uint32_t *position = policy->port_class_first;
	size_t count, i;
	const struct row_span *spans = row_spans(policy, row, &count);
	uint32_t class = 0, classes = policy->port_class_count;

	for (i = 0; i < count; i++) {
		while (class < classes && position[class] < spans[i].first)
			cells[class ++] = EGRESS_RULE_DEFAULT;
		while (class < classes && position[class] <= spans[i].last)
			cells[class ++] = spans[i].cell;
	}
	while (class < classes)
		cells[class ++] = EGRESS_RULE_DEFAULT;
}

static int write_rows(struct writer *writer)
{
	const struct policy *policy = writer->policy;
	uint32_t row;

	for (row = 0; row < policy->rows.count; row++) {
		int error = take_words(writer, policy->port_class_count, 1, &writer->row_addresses[row]);

		if (error < 0)
			return error;
		write_row(policy, row, writer->tables->memory.words + writer->row_addresses[row]);
	}
	return 0;
}

static int write_vectors(struct writer *writer)
{
	const struct policy *policy = writer->policy;
	size_t classes = policy->class_keys.count, set, class;

	for (set = 0; set < policy->set_count; set++) {
		const uint32_t *rows = policy->sets_of_rows[set].rows;
		uint32_t *words;
		int error = take_words(writer, classes, TABLES_LINE_WORDS, &writer->vectors[set]);

		if (error < 0)
			return error;
		words = writer->tables->memory.words + writer->vectors[set];
		for (class = 0; class < classes; class++)
			words[class] = writer->row_addresses[rows[class]];
	}
	return 0;
}

static void write_ports(struct writer *writer)
{
	enum transport transport;

	for (transport = 0; transport < TRANSPORT_COUNT; transport++) {
		writer->header.ports[transport] = TABLES_BANK_FIXED(writer->bank) + FIXED_PORTS + transport * PORTS_WORDS;
		memcpy(writer->tables->memory.words + writer->header.ports[transport],
		       writer->policy->port_class + port_position(transport, 0),
		       65536 * sizeof(*writer->policy->port_class));
	}
}

static void write_sets(struct writer *writer)
{
	size_t i;

	writer->header.sets = TABLES_BANK_FIXED(writer->bank) + FIXED_SETS;
	for (i = 0; i < EGRESS_ENDPOINT_MAX; i++)
		writer->tables->memory.words[writer->header.sets + i] = EGRESS_SET_PENDING;
}

static int write_tries(struct writer *writer)
{
	const struct policy *policy = writer->policy;
	const struct trie trie = {
		.memory = &writer->tables->memory,
		.bank = writer->bank,
		.packed = policy->packed,
	};
	int error;

	writer->header.ipv4_root = TABLES_BANK_FIXED(writer->bank) + FIXED_IPV4_ROOT;
	error = trie_write_ipv4(&trie, &policy->classes[FAMILY_IPV4], writer->header.ipv4_root);
	return error ? error : trie_write_ipv6(&trie, &policy->classes[FAMILY_IPV6], &writer->header.ipv6_root);
}

static int write_bank(struct writer *writer)
{
	const struct policy *policy = writer->policy;
	int error;

	writer->row_addresses = calloc((size_t)policy->rows.count + 1, sizeof(*writer->row_addresses));
	writer->vectors = calloc(policy->set_count + 1, sizeof(*writer->vectors));
	if (!writer->row_addresses || !writer->vectors)
		return -ENOMEM;
	write_ports(writer);
	write_sets(writer);
	/* Every packet reads a vector and a row: in front of the tries, which are larger. */
	error = write_rows(writer);
	if (!error)
		error = write_vectors(writer);
	if (!error)
		error = write_tries(writer);
	writer->header.class_count = policy->class_keys.count;
	writer->header.port_class_count = policy->port_class_count;
	return error;
}

/* Its words are free again, unless there is no memory to say so: the next write tries again. */
static int empty_bank(struct tables *tables, unsigned int bank)
{
	memset(&tables->control->bank[bank], 0, sizeof(tables->control->bank[bank]));
	bank_forget(&tables->banks[bank]);
	return memory_release(&tables->memory, bank);
}

void tables_forget(struct tables *tables)
{
	if (!tables->written)
		empty_bank(tables, 1 - tables->control->active);
}

bool tables_hold_another(const struct tables *tables)
{
	const struct memory *memory = &tables->memory;
	unsigned int active = tables->control->active;

	return memory_free(memory) + memory_used(memory, 1 - active) >= memory_used(memory, active);
}

int tables_write(struct tables *tables, const struct policy *policy, uint32_t generation)
{
	unsigned int bank = 1 - tables->control->active;
	struct writer writer = {
		.tables = tables,
		.policy = policy,
		.bank = bank,
		.header = {.generation = generation},
	};
	int error;

	tables->written = false;
	error = empty_bank(tables, bank);
	/* A large one would be written for nothing. */
	if (!error && policy->words - TABLES_FIXED_WORDS > memory_free(&tables->memory))
		error = -ENOSPC;
	if (!error)
		error = write_bank(&writer);
	free(writer.row_addresses);
	if (error) {
		free(writer.vectors);
		return error;
	}
	tables->control->bank[bank] = writer.header;
	tables->banks[bank].policy = policy;
	tables->banks[bank].vectors = writer.vectors;
	tables->written = true;
	return 0;
}

void tables_publish(struct tables *tables)
{
	if (!tables->written)
		return;
	__atomic_store_n(&tables->control->active, 1 - tables->control->active, __ATOMIC_RELEASE);
	tables->written = false;
}

void tables_count_change(struct tables *tables)
{
	struct egress_bank *bank = &tables->control->bank[tables->control->active];

	__atomic_store_n(&bank->changes, bank->changes + 1, __ATOMIC_RELEASE);
}

/* ------------------------------------------------------------------ endpoints */

static void store_set(struct tables *tables, unsigned int bank, uint32_t id, uint32_t set)
{
	uint32_t *word = tables->memory.words + tables->control->bank[bank].sets + id;

	__atomic_store_n(word, set, __ATOMIC_RELEASE);
}

static uint32_t set_of_pod(const struct bank_state *bank, const char *namespace, const char *name)
{
	const struct policy_endpoint *endpoint = name ? policy_endpoint(bank->policy, namespace, name) : NULL;

	if (!endpoint)
		return EGRESS_SET_PENDING;
	if (!endpoint->isolated)
		return EGRESS_SET_OPEN;
	return bank->vectors[bank->policy->compiled_endpoints[endpoint - bank->policy->endpoints].set];
}

void tables_assign(struct tables *tables, uint32_t id, const char *namespace, const char *name)
{
	unsigned int bank;

	if (id >= EGRESS_ENDPOINT_MAX)
		return;
	for (bank = 0; bank < EGRESS_BANKS; bank++)
		if (tables->banks[bank].policy)
			store_set(tables, bank, id, set_of_pod(&tables->banks[bank], namespace, name));
}

void tables_unassign(struct tables *tables, uint32_t id)
{
	unsigned int bank;

	if (id >= EGRESS_ENDPOINT_MAX)
		return;
	for (bank = 0; bank < EGRESS_BANKS; bank++)
		if (tables->banks[bank].policy)
			store_set(tables, bank, id, EGRESS_SET_PENDING);
}

size_t tables_used(const struct tables *tables)
{
	size_t sum = TABLES_BANK_FIXED(EGRESS_BANKS);
	unsigned int bank;

	for (bank = 0; bank < EGRESS_BANKS; bank++)
		sum += memory_used(&tables->memory, bank);
	return sum;
}
