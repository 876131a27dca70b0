/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include <egressd/contract.h>
#include <egressd/version.h>

#include "cli/command.h"
#include "cli/options.h"
#include "cli/output.h"

int command_version(struct invocation *invocation)
{
	json_t *object;

	if (!options_parse_all(invocation, NULL, 0))
		return EXIT_ERROR;
	if (invocation->settings.output == OUTPUT_TABLE) {
		printf("egressctl %s%s%s contract %d\n", EGRESSD_VERSION, *EGRESSD_COMMIT ? " " : "", EGRESSD_COMMIT,
		       EGRESS_CONTRACT_VERSION);
		return EXIT_SUCCESS;
	}
	object = json_new_object();
	json_put_text(object, "version", EGRESSD_VERSION);
	json_put_text(object, "commit", EGRESSD_COMMIT);
	json_put_number(object, "contract", EGRESS_CONTRACT_VERSION);
	json_print(object);
	return EXIT_SUCCESS;
}
