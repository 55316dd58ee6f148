/* SPDX-License-Identifier: Apache-2.0 */
/*
 * completion: a script for the user's shell, made from the same tables that parse the command line.
 * Names of images and containers are asked from the store when they are completed.
 */
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "cli/imbrex/verbs.h"
#include "cli/storage/storage.h"

/* What `__names` is asked for; NULL if the operand is no object of the store. */
static const char *names_of(enum operand_kind kind)
{
	switch (kind) {
	case OPERAND_IMAGE:
		return "images";
	case OPERAND_CONTAINER:
		return "containers";
	case OPERAND_OBJECT:
		return "objects";
	case OPERAND_NONE:
	case OPERAND_FILE:
	case OPERAND_PROGRAM:
	case OPERAND_VERB:
	case OPERAND_SHELL:
	case OPERAND_PLUMBING:
		return NULL;
	}
	return NULL;
}

static void print_verbs(const struct face *face)
{
	const struct verb *v;
	size_t i;

	for (i = 0; (v = face_verb_at(face, i)) != NULL; i++)
		(void)printf("%s%s", i ? " " : "", v->name);
}

static void print_plumbing(void)
{
	const char *name;
	size_t i;

	for (i = 0; (name = plumbing_command_name(i)) != NULL; i++)
		(void)printf("%s%s", i ? " " : "", name);
}

static void print_options(const struct opt *opts)
{
	const struct opt *o;

	for (o = opts; o && o->name; o++) {
		(void)printf(" --%s%s", o->name, opt_takes_value(o) ? "=" : "");
		if (o->letter)
			(void)printf(" -%c", o->letter);
	}
}

/* In single quotes; our texts hold none. */
static void print_quoted(const char *text)
{
	(void)putchar('\'');
	for (; *text; text++) {
		if (*text == '\'')
			(void)fputs("'\\''", stdout);
		else
			(void)putchar(*text);
	}
	(void)putchar('\'');
}

/* How bash completes the operands of a verb, as one command. */
static void bash_operands(const struct face *face, const struct verb *v)
{
	switch (v->kind) {
	case OPERAND_IMAGE:
	case OPERAND_CONTAINER:
	case OPERAND_OBJECT:
		(void)printf("words=$(%s __names %s 2>/dev/null)", face->name, names_of(v->kind));
		return;
	case OPERAND_FILE:
		(void)fputs("files=-f", stdout);
		return;
	case OPERAND_PROGRAM:
		(void)fputs("files=-c", stdout);
		return;
	case OPERAND_VERB:
		(void)fputs("words=$verbs", stdout);
		return;
	case OPERAND_SHELL:
		(void)fputs("words='bash zsh fish'", stdout);
		return;
	case OPERAND_PLUMBING:
		(void)fputs("words='", stdout);
		print_plumbing();
		(void)fputs("'", stdout);
		return;
	case OPERAND_NONE:
		(void)fputs("words=", stdout);
		return;
	}
}

static void bash_choices(const struct opt *opts)
{
	const struct opt *o;
	size_t i;

	for (o = opts; o && o->name; o++) {
		if (o->type != OPT_CHOICE)
			continue;
		(void)printf("\t--%s) words='", o->name);
		for (i = 0; o->choices[i]; i++)
			(void)printf("%s%s", i ? " " : "", o->choices[i]);
		(void)fputs("' ;;\n", stdout);
	}
}

static void print_bash(const struct face *face)
{
	const struct verb *v;
	size_t i;

	(void)printf("# bash completion for %s\n"
		     "_%s()\n{\n"
		     "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
		     "\tlocal verb= options= words= files= word verbs='",
		face->name, face->name);
	print_verbs(face);
	(void)fputs("'\n\tlocal -a before=(\"${COMP_WORDS[@]:1:COMP_CWORD-1}\")\n"
		    "\tif [[ $prev == '=' ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
		    "\tif [[ $cur == '=' ]]; then cur=; fi\n"
		    "\tfor word in \"${before[@]}\"; do\n"
		    "\t\tif [[ \" $verbs \" == *\" $word \"* ]]; then verb=$word; break; fi\n"
		    "\tdone\n"
		    "\tcase $verb in\n"
		    "\t'') words=$verbs ;;\n",
		stdout);
	for (i = 0; (v = face_verb_at(face, i)) != NULL; i++) {
		(void)printf("\t%s) options='", v->name);
		print_options(v->opts);
		(void)fputs("'; ", stdout);
		if (names_of(v->kind))
			(void)fputs("[[ $cur == -* ]] || ", stdout);
		bash_operands(face, v);
		(void)fputs(" ;;\n", stdout);
	}
	(void)fputs("\tesac\n\tcase $prev in\n", stdout);
	bash_choices(global_opts);
	for (i = 0; (v = face_verb_at(face, i)) != NULL; i++)
		bash_choices(v->opts);
	(void)fputs("\tesac\n\toptions+='", stdout);
	print_options(global_opts);
	(void)printf("'\n"
		     "\tif [[ $cur == -* ]]; then words=$options files=; fi\n"
		     "\tCOMPREPLY=($(compgen $files -W \"$words\" -- \"$cur\"))\n"
		     "\tif [[ ${COMPREPLY[0]-} == --*= ]]; then compopt -o nospace; fi\n"
		     "\tif declare -F __ltrim_colon_completions >/dev/null; then\n"
		     "\t\t__ltrim_colon_completions \"$cur\"\n"
		     "\tfi\n"
		     "}\n"
		     "complete -F _%s %s\n",
		face->name, face->name);
}

/* '(-q --quiet)'{-q,--quiet}'[text]:value:' */
static void zsh_options(const struct opt *opts)
{
	const struct opt *o;
	char text[256];
	size_t i;

	for (o = opts; o && o->name; o++) {
		(void)printf("\t\t\t");
		if (o->letter)
			(void)printf("'*'{-%c%s,--%s%s}", o->letter, opt_takes_value(o) ? "+" : "",
				o->name, opt_takes_value(o) ? "=" : "");
		else
			(void)printf("'*'--%s%s", o->name, opt_takes_value(o) ? "=" : "");
		(void)snprintf(text, sizeof(text), "[%s]", o->help);
		for (i = 0; text[i]; i++) {
			if (text[i] == ':')
				text[i] = ',';
		}
		print_quoted(text);
		if (o->type == OPT_CHOICE) {
			(void)printf("':%s:(", o->arg);
			for (i = 0; o->choices[i]; i++)
				(void)printf("%s%s", i ? " " : "", o->choices[i]);
			(void)fputs(")'", stdout);
		} else if (opt_takes_value(o)) {
			(void)printf("':value:%s'",
				str_eq(o->arg, "DIR") || str_eq(o->arg, "FILE") ? "_files" : "");
		}
		(void)fputs(" \\\n", stdout);
	}
}

static void zsh_operands(const struct face *face, const struct verb *v)
{
	switch (v->kind) {
	case OPERAND_IMAGE:
	case OPERAND_CONTAINER:
	case OPERAND_OBJECT:
		(void)printf("'%s:name:{compadd -- ${(f)\"$(%s __names %s 2>/dev/null)\"}}'",
			v->rest_is_program ? "1" : "*", face->name, names_of(v->kind));
		if (v->rest_is_program)
			(void)fputs(" '*::command:_normal'", stdout);
		return;
	case OPERAND_FILE:
		(void)fputs("'*:source:_files'", stdout);
		return;
	case OPERAND_PROGRAM:
		(void)fputs("'*::command:_normal'", stdout);
		return;
	case OPERAND_VERB:
		(void)fputs("'1:verb:(", stdout);
		print_verbs(face);
		(void)fputs(")'", stdout);
		return;
	case OPERAND_SHELL:
		(void)fputs("'1:shell:(bash zsh fish)'", stdout);
		return;
	case OPERAND_PLUMBING:
		(void)fputs("'1:command:(", stdout);
		print_plumbing();
		(void)fputs(")'", stdout);
		return;
	case OPERAND_NONE:
		return;
	}
}

static void print_zsh(const struct face *face)
{
	const struct verb *v;
	size_t i;

	(void)printf("#compdef %s\n# zsh completion for %s\n_%s()\n{\n\tlocal -a globals\n"
		     "\tlocal context state line\n\tglobals=( \\\n",
		face->name, face->name, face->name);
	zsh_options(global_opts);
	(void)fputs("\t)\n\t_arguments -C $globals '1:verb:->verb' '*::operand:->operand'\n"
		    "\tcase $state in\n\tverb)\n\t\tlocal -a verbs\n\t\tverbs=( \\\n",
		stdout);
	for (i = 0; (v = face_verb_at(face, i)) != NULL; i++) {
		char text[256];

		(void)snprintf(text, sizeof(text), "%s:%s", v->name, v->summary);
		(void)fputs("\t\t\t", stdout);
		print_quoted(text);
		(void)fputs(" \\\n", stdout);
	}
	(void)fputs(
		"\t\t)\n\t\t_describe verb verbs ;;\n\toperand)\n\t\tcase $line[1] in\n", stdout);
	for (i = 0; (v = face_verb_at(face, i)) != NULL; i++) {
		(void)printf("\t\t%s) _arguments -s $globals \\\n", v->name);
		zsh_options(v->opts);
		(void)fputs("\t\t\t", stdout);
		zsh_operands(face, v);
		(void)fputs(" ;;\n", stdout);
	}
	(void)printf("\t\tesac ;;\n\tesac\n}\n"
		     "if [ \"$funcstack[1]\" = _%s ]; then _%s \"$@\"; else compdef _%s %s; fi\n",
		face->name, face->name, face->name, face->name);
}

static void fish_options(const struct face *face, const char *verb, const struct opt *opts)
{
	const struct opt *o;
	size_t i;

	for (o = opts; o && o->name; o++) {
		(void)printf("complete -c %s", face->name);
		if (verb)
			(void)printf(" -n '__fish_seen_subcommand_from %s'", verb);
		(void)printf(" -l %s", o->name);
		if (o->letter)
			(void)printf(" -s %c", o->letter);
		if (opt_takes_value(o))
			(void)fputs(
				str_eq(o->arg, "DIR") || str_eq(o->arg, "FILE") ? " -r -F" : " -x",
				stdout);
		if (o->type == OPT_CHOICE) {
			(void)fputs(" -a '", stdout);
			for (i = 0; o->choices[i]; i++)
				(void)printf("%s%s", i ? " " : "", o->choices[i]);
			(void)fputs("'", stdout);
		}
		(void)fputs(" -d ", stdout);
		print_quoted(o->help);
		(void)putchar('\n');
	}
}

static void fish_operands(const struct face *face, const struct verb *v)
{
	if (v->kind == OPERAND_NONE)
		return;
	(void)printf("complete -c %s -n '__fish_seen_subcommand_from %s'", face->name, v->name);
	if (names_of(v->kind)) {
		(void)printf(" -a '(%s __names %s 2>/dev/null)'\n", face->name, names_of(v->kind));
	} else if (v->kind == OPERAND_FILE) {
		(void)fputs(" -F\n", stdout);
	} else if (v->kind == OPERAND_PROGRAM) {
		(void)fputs(" -a '(__fish_complete_subcommand)'\n", stdout);
	} else if (v->kind == OPERAND_SHELL) {
		(void)fputs(" -a 'bash zsh fish'\n", stdout);
	} else {
		(void)fputs(" -a '", stdout);
		if (v->kind == OPERAND_PLUMBING)
			print_plumbing();
		else
			print_verbs(face);
		(void)fputs("'\n", stdout);
	}
}

static void print_fish(const struct face *face)
{
	const struct verb *v;
	size_t i;

	(void)printf("# fish completion for %s\ncomplete -c %s -f\n", face->name, face->name);
	fish_options(face, NULL, global_opts);
	for (i = 0; (v = face_verb_at(face, i)) != NULL; i++) {
		(void)printf(
			"complete -c %s -n __fish_use_subcommand -a %s -d ", face->name, v->name);
		print_quoted(v->summary);
		(void)putchar('\n');
	}
	for (i = 0; (v = face_verb_at(face, i)) != NULL; i++) {
		fish_options(face, v->name, v->opts);
		fish_operands(face, v);
	}
}

static int run(struct cli *c, const void *args)
{
	static const struct {
		const char *shell;
		void (*print)(const struct face *face);
	} scripts[] = { { "bash", print_bash }, { "zsh", print_zsh }, { "fish", print_fish } };
	struct imbrex_error err = { .status = 0 };
	size_t i;

	(void)args;
	for (i = 0; i < ARRAY_LEN(scripts); i++) {
		if (str_eq(scripts[i].shell, c->operands[0])) {
			scripts[i].print(c->face);
			return EXIT_SUCCESS;
		}
	}
	(void)fail(&err, IMBREX_EINVAL, "no completion for shell '%s': there is bash, zsh and fish",
		c->operands[0]);
	return cli_usage(c, &err);
}

const struct verb verb_completion = {
	.name = "completion",
	.operands = "bash|zsh|fish",
	.summary = "print a completion script for a shell",
	.operands_min = 1,
	.operands_max = 1,
	.kind = OPERAND_SHELL,
	.run = run,
};
