/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/agent.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/heap.h"

/* A burst of changes in the source is read once; and one that ends is in force within milliseconds. */
#define SOURCE_PAUSE_US 1000
/* A new interface brings several addresses. */
#define ADDRESS_PAUSE_US 50000
/* What inotify does not tell is found this often. */
#define RESYNC_SECONDS 60
/* What nothing tells of: a link that was detached, a pin that was removed. */
#define CHECK_MILLISECONDS 500
#define EXPIRE_SECONDS 5
#define CROSSCHECK_SECONDS 3
/* Lists of addresses are fetched anew every few minutes: the memory that a large one took stays so long. */
#define RELEASE_SECONDS 300

/* Signals, descriptors, timers. */
enum {
	EVENT_TERM,
	EVENT_INT,
	EVENT_HUP,
	EVENT_INTERFACES,
	EVENT_ATTACHMENTS,
	EVENT_CHECK,
	EVENT_EXPIRE,
	EVENT_CROSSCHECK,
	EVENT_RESYNC,
	EVENT_COUNT,
};

struct loop {
	struct agent *agent;
	struct event *events[EVENT_COUNT];
};

/* ------------------------------------------------------------------ source */

static void read_and_reconcile(struct agent *agent)
{
	agent_read_source(agent);
	agent_reconcile(agent);
}

/* What the source tells of is mostly pods of other nodes. */
static void read_and_follow(struct agent *agent)
{
	if (agent_read_source(agent) || !agent_follow_pods(agent))
		agent_reconcile(agent);
}

static void on_source_timer(evutil_socket_t fd, short what, void *data)
{
	(void)fd;
	(void)what;
	read_and_follow(data);
}

static void on_source(void *data)
{
	const struct timeval pause = {.tv_usec = SOURCE_PAUSE_US};
	struct agent *agent = data;

	if (!event_pending(agent->source_timer, EV_TIMEOUT, NULL))
		event_add(agent->source_timer, &pause);
}

static void on_resync(evutil_socket_t fd, short what, void *data)
{
	struct agent *agent = data;

	(void)fd;
	(void)what;
	agent->resolve_all = true;
	cni_install_check(agent);
	agent_read_attachments(agent);
	read_and_reconcile(agent);
}

static void find_addresses(struct agent *agent)
{
	bool changed = false;
	int error = agent_find_node_addresses(agent, &changed);

	if (error)
		log_warning("the addresses of this node cannot be listed: %s", strerror(-error));
	if (changed) {
		agent->recompile = true;
		agent->build_due = 0;
	}
}

static void on_hangup(evutil_socket_t fd, short what, void *data)
{
	struct agent *agent = data;

	(void)fd;
	(void)what;
	log_info("SIGHUP: reading everything anew");
	agent->resolve_all = true;
	agent->sweep_due = true;
	agent->build_due = 0;
	find_addresses(agent);
	agent_read_attachments(agent);
	read_and_reconcile(agent);
}

/* ------------------------------------------------------------------ interfaces */

static void on_attachments(evutil_socket_t fd, short what, void *data)
{
	struct agent *agent = data;

	(void)fd;
	(void)what;
	if (agent_attachments_changed(agent))
		agent_reconcile(agent);
}

struct interface_notices {
	struct agent *agent;
	bool links, addresses, filters, vanished;
};

static void note_interface(enum interface_event event, uint32_t ifindex, const char *name, void *data)
{
	struct interface_notices *notices = data;

	log_debug("interface %u (%s): notice %d", ifindex, name ? name : "", (int)event);
	if (event == INTERFACE_NAMESPACE_GONE)
		attachments_namespace_gone(notices->agent, (int32_t)ifindex);
	if (event == INTERFACE_VANISHED) {
		attachments_vanished(notices->agent, ifindex, true);
		notices->vanished = true;
	}
	if (event == INTERFACE_ADDRESS_CHANGED)
		notices->addresses = true;
	else if (event == INTERFACE_FILTERS_CHANGED)
		notices->filters = true;
	else
		notices->links = true;
}

static void on_addresses(evutil_socket_t fd, short what, void *data)
{
	struct agent *agent = data;

	(void)fd;
	(void)what;
	find_addresses(agent);
	if (agent->recompile)
		agent_reconcile(agent);
}

static void on_interfaces(evutil_socket_t fd, short what, void *data)
{
	const struct timeval pause = {.tv_usec = ADDRESS_PAUSE_US};
	struct interface_notices notices = {.agent = data};
	struct agent *agent = data;
	int error = interface_watch_dispatch(agent->interfaces, note_interface, &notices);

	(void)fd;
	(void)what;
	if (error) {
		log_warning("notices of interfaces were lost (%s): looking at all of them", strerror(-error));
		agent->resolve_all = true;
		agent->sweep_due = true;
		notices.links = notices.addresses = notices.filters = true;
	}
	if (notices.filters && attachments_check(agent))
		notices.links = true;
	if (notices.links || notices.filters)
		attachments_try_now(agent);
	/* With its interface goes the attachment of a pod that was torn down. */
	if (notices.vanished)
		agent_read_attachments(agent);
	agent->links_changed |= notices.links;
	if (notices.links)
		agent_reconcile(agent);
	if (notices.addresses && !event_pending(agent->interface_timer, EV_TIMEOUT, NULL))
		event_add(agent->interface_timer, &pause);
}

/* ------------------------------------------------------------------ timers */

static void on_retry(evutil_socket_t fd, short what, void *data)
{
	(void)fd;
	(void)what;
	agent_reconcile(data);
}

static void on_state(evutil_socket_t fd, short what, void *data)
{
	(void)fd;
	(void)what;
	agent_go_on_with_state(data);
}

static void on_check(evutil_socket_t fd, short what, void *data)
{
	struct agent *agent = data;
	bool changed;

	(void)fd;
	(void)what;
	agent_check_pins(agent);
	agent_check_state(agent);
	if (agent->superseded)
		return;
	serve_check(agent);
	cni_server_check(agent);
	changed = agent_check_attachments(agent);
	if (attachments_check(agent) || changed)
		agent_reconcile(agent);
}

static void on_expire(evutil_socket_t fd, short what, void *data)
{
	struct agent *agent = data;
	size_t removed = 0;

	(void)fd;
	(void)what;
	if (datapath_flows_expire(agent->datapath, &removed))
		log_debug("flows: %s", datapath_error());
	else if (removed)
		log_debug("%zu idle flows expired", removed);
}

static void on_crosscheck(evutil_socket_t fd, short what, void *data)
{
	struct agent *agent = data;
	size_t before = crosscheck_mismatches(agent);

	(void)fd;
	(void)what;
	crosscheck(agent);
	if (!pending_look_inside(agent) && !before && !crosscheck_mismatches(agent))
		return;
	agent_tell_problems(agent);
	agent_report_state(agent);
}

static void on_release(evutil_socket_t fd, short what, void *data)
{
	(void)fd;
	(void)what;
	(void)data;
	heap_release();
}

void agent_release_memory(struct agent *agent, enum memory_taker taker)
{
	const struct timeval pause = {.tv_sec = RELEASE_SECONDS};
	bool waits = heap_may_wait();

	if (waits && taker == MEMORY_OF_COMPILE)
		waits = !event_add(agent->release_timer, &pause);
	else if (waits)
		waits = event_pending(agent->release_timer, EV_TIMEOUT, NULL);
	if (!waits)
		heap_release();
}

static void on_stop(evutil_socket_t number, short what, void *data)
{
	(void)what;
	log_info("%s: stopping; what is enforced stays in force", strsignal((int)number));
	event_base_loopbreak(((struct agent *)data)->loop);
}

/* ------------------------------------------------------------------ the loop */

static int add_event(struct loop *loop, int which, struct event *event, const struct timeval *period)
{
	loop->events[which] = event;
	return !event || event_add(event, period) ? -ENOMEM : 0;
}

static int add_timer(struct loop *loop, int which, int milliseconds, event_callback_fn callback)
{
	const struct timeval period = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};

	return add_event(loop, which, event_new(loop->agent->loop, -1, EV_PERSIST, callback, loop->agent), &period);
}

static int add_signal(struct loop *loop, int which, int number, event_callback_fn callback)
{
	return add_event(loop, which, evsignal_new(loop->agent->loop, number, callback, loop->agent), NULL);
}

static int add_reader(struct loop *loop, int which, int fd, event_callback_fn callback)
{
	return add_event(loop, which, event_new(loop->agent->loop, fd, EV_READ | EV_PERSIST, callback, loop->agent),
			 NULL);
}

static void loop_clear(struct loop *loop)
{
	size_t i;

	for (i = 0; i < EVENT_COUNT; i++)
		if (loop->events[i])
			event_free(loop->events[i]);
}

static int loop_fill(struct loop *loop)
{
	struct agent *agent = loop->agent;
	int error;

	error = add_signal(loop, EVENT_TERM, SIGTERM, on_stop);
	if (!error)
		error = add_signal(loop, EVENT_INT, SIGINT, on_stop);
	if (!error)
		error = add_signal(loop, EVENT_HUP, SIGHUP, on_hangup);
	if (!error)
		error = source_start(agent->source, agent->loop, on_source, agent);
	if (!error)
		error = add_reader(loop, EVENT_INTERFACES, interface_watch_fd(agent->interfaces), on_interfaces);
	if (!error)
		error = add_reader(loop, EVENT_ATTACHMENTS, tree_watch_fd(agent->attachment_watch), on_attachments);
	if (!error)
		error = add_timer(loop, EVENT_CHECK, CHECK_MILLISECONDS, on_check);
	if (!error)
		error = add_timer(loop, EVENT_EXPIRE, EXPIRE_SECONDS * 1000, on_expire);
	if (!error)
		error = add_timer(loop, EVENT_CROSSCHECK, CROSSCHECK_SECONDS * 1000, on_crosscheck);
	if (!error)
		error = add_timer(loop, EVENT_RESYNC, RESYNC_SECONDS * 1000, on_resync);
	return error;
}

static void log_libevent(int severity, const char *message)
{
	log_message(severity >= EVENT_LOG_WARN ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG, "libevent: %s", message);
}

/*
 * By the clock that libevent takes otherwise a pause of one millisecond ends with the kernel's next tick, up to four later,
 * and the loop wakes every millisecond until then.
 */
static struct event_base *new_precise_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (config && !event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER))
		base = event_base_new_with_config(config);
	if (config)
		event_config_free(config);
	return base;
}

static int make_loop(struct agent *agent)
{
	event_set_log_callback(log_libevent);
	agent->loop = new_precise_base();
	if (!agent->loop)
		return -ENOMEM;
	agent->source_timer = evtimer_new(agent->loop, on_source_timer, agent);
	/* Not the timer above: what is new in the source does not wait as long as another try. */
	agent->reread_timer = evtimer_new(agent->loop, on_source_timer, agent);
	agent->interface_timer = evtimer_new(agent->loop, on_addresses, agent);
	agent->retry_timer = evtimer_new(agent->loop, on_retry, agent);
	agent->state_timer = evtimer_new(agent->loop, on_state, agent);
	agent->release_timer = evtimer_new(agent->loop, on_release, agent);
	if (!agent->source_timer || !agent->reread_timer || !agent->interface_timer || !agent->retry_timer ||
	    !agent->state_timer || !agent->release_timer)
		return -ENOMEM;
	return 0;
}

/* The loop stands still while the kernel verifies programs. */
static void look_after(void *data)
{
	struct agent *agent = data;

	agent_check_pins(agent);
	if (!agent->superseded)
		attachments_look_after(agent);
}

static int run_loop(struct agent *agent)
{
	_cleanup_(loop_clear) struct loop loop = {.agent = agent};
	int error = loop_fill(&loop);

	if (!error)
		error = serve_start(agent);
	if (!error)
		error = cni_server_start(agent);
	if (!error)
		error = cni_install_start(agent);
	if (error) {
		log_error("the event loop cannot be set up: %s", strerror(-error));
		return error;
	}
	agent->loops = true;
	datapath_while_waiting(agent->datapath, look_after, agent);
	error = event_base_dispatch(agent->loop) < 0 ? -EIO : 0;
	return agent->superseded ? -EWOULDBLOCK : error;
}

/* ------------------------------------------------------------------ life */

static void free_event(struct event *event)
{
	if (event)
		event_free(event);
}

/* Closes what the agent holds; the kernel keeps what is pinned and attached. */
static void agent_clear(struct agent *agent)
{
	connections_stop(agent);
	cni_install_stop(agent);
	cni_server_stop(agent);
	serve_stop(agent);
	state_writer_free(agent->state_writer);
	json_decref(agent->state_next);
	free_event(agent->source_timer);
	free_event(agent->reread_timer);
	free_event(agent->interface_timer);
	free_event(agent->retry_timer);
	free_event(agent->state_timer);
	free_event(agent->release_timer);
	source_free(agent->source);
	if (agent->loop)
		event_base_free(agent->loop);
	generation_clear(&agent->generation);
	policy_free(agent->compiled);
	endpoints_clear(&agent->endpoints);
	interface_watch_free(agent->interfaces);
	tree_watch_free(agent->attachment_watch);
	cni_attachment_list_clear(&agent->locality.attachments);
	datapath_close(agent->datapath);
	store_free(agent->store);
	problem_list_clear(&agent->source_problems);
	problem_list_clear(&agent->policy_problems);
	agent_forget_told(agent);
	free(agent->node_addresses);
	free(agent->source_failure);
	free(agent->build_failure);
	free(agent->state_failure);
	free(agent->pin_failure);
	free(agent->attachment_failure);
	free(agent->watch_failure);
	free(agent->socket_failure);
	free(agent->cni_failure);
	free(agent->hold_failure);
	free(agent->conntrack_failure);
	close_fd(&agent->listener);
	close_fd(&agent->pin_lock);
	close_fd(&agent->state_lock);
}

static int start(struct agent *agent)
{
	int error = agent_prepare(agent);

	if (!error) {
		error = make_loop(agent);
		if (error)
			log_error("no memory for the event loop");
	}
	if (error)
		return error;
	agent_reconcile(agent);
	/* The API may be out of reach for now, and what it says may not be enforceable; that is tried again. */
	if (!agent->options->directory)
		return 0;
	/* The reason was logged. */
	return agent->generation.tables ? 0 : -EINVAL;
}

int agent_run(const struct agent_options *options)
{
	_cleanup_(agent_clear) struct agent agent = {
		.options = options,
		.started = time(NULL),
		.locality = {.node = options->node, .annotations = options->directory || options->trust_annotations},
		.state_lock = -1,
		.pin_lock = -1,
		.listener = -1,
		.generation.flow_timeouts = &options->flow_timeouts,
	};
	int error;

	heap_keep_small();
	/* Whatever it leaves is root's alone. */
	umask(077);
	/* A scraper that hangs up must not end the agent. */
	signal(SIGPIPE, SIG_IGN);
	error = start(&agent);
	if (error) {
		/* A directory of pins in which nothing was pinned. */
		if (agent.pin_lock >= 0)
			datapath_discard_pins(options->pin);
		return error;
	}
	error = run_loop(&agent);
	/* The directory may be another agent's by now. */
	if (!agent.superseded)
		agent_write_state(&agent);
	return error;
}
