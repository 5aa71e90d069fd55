
#include "acr_access.h"
#include "fuzz.h"

#define NOW  1790000000


static acr_text_t
text_of(const char *s)
{
    acr_text_t  text;

    text.data = (const unsigned char *) s;
    text.len = strlen(s);

    return text;
}


/* what people see has no hash; it is released */

static void
seen(json_t *json)
{
    char    *text;

    if (json == NULL) {
        return;
    }

    text = json_dumps(json, 0);
    check(text != NULL);

    /* a name with these bytes has a backslash in them */

    check(strstr(text, "\"hash\":") == NULL);
    free(text);

    json_decref(json);
}


static void
decide(const acr_access_t *access, const acr_principal_t *who)
{
    unsigned    i, may;
    acr_text_t  repository;

    static const char *const  repositories[] = { "a", "app", "team/a/b", "*" };

    for (i = 0; i < sizeof(repositories) / sizeof(repositories[0]); i++) {
        repository = text_of(repositories[i]);
        may = acr_access_repository(access, who, &repository, NOW);

        check((may & ~(unsigned) ACR_MAY_ALL) == 0);
        check(may == 0 || acr_access_alive(access, who, NOW));

        seen(acr_access_explain(access, who, &repository, NOW));
    }

    may = acr_access_registry(access, who, NOW);
    check((may & ~(unsigned) ACR_MAY_REGISTRY) == 0);
    check(who->kind != ACR_PRINCIPAL_TOKEN || !(may & ACR_MAY_CATALOG));
    check(may == 0 || acr_access_alive(access, who, NOW));

    if (who->kind == ACR_PRINCIPAL_ANONYMOUS) {
        repository = text_of("*");
        check(!(acr_access_repository(access, who, &repository, NOW)
                & ACR_MAY_PULL)
              || acr_access_anonymous(access));
    }

    seen(acr_access_explain(access, who, NULL, NOW));
}


/* all that the file names, as a user and as a token */

static void
everybody(const acr_access_t *access, const char *kind, const char *key)
{
    size_t            i;
    json_t           *list, *element;
    acr_text_t        none;
    const char       *name;
    acr_principal_t   who;

    none = text_of("");
    list = acr_access_show(access, kind, &none);
    check(json_is_array(list));

    json_array_foreach(list, i, element) {
        name = json_string_value(json_object_get(element, key));
        check(name != NULL);

        memset(&who, 0, sizeof(acr_principal_t));
        who.name = text_of(name);
        who.kind = ACR_PRINCIPAL_TOKEN;
        decide(access, &who);

        /* without what comes before the name of a principal */

        name = strchr(name, ':') ? strchr(name, ':') + 1 : name;
        who.kind = ACR_PRINCIPAL_USER;
        who.name = text_of(name);
        who.groups[0] = who.name;
        who.ngroups = 1;
        decide(access, &who);
    }

    seen(list);
}


static void
decisions(const acr_access_t *access)
{
    acr_text_t        text;
    acr_principal_t   who;

    memset(&who, 0, sizeof(acr_principal_t));
    decide(access, &who);

    who.kind = ACR_PRINCIPAL_ADMIN;
    decide(access, &who);

    who.password = "0000000000000000";
    decide(access, &who);

    everybody(access, "tokens", "name");
    everybody(access, "scope-maps", "name");
    everybody(access, "role-assignments", "principal");

    text = text_of("");
    seen(acr_access_show(access, "admin", &text));

    text = text_of("app");
    seen(acr_access_who(access, &text, NOW));
}


/* whatever comes out of a change can be loaded, and changed again */

static void
changes(const uint8_t *p, size_t n)
{
    size_t          len;
    json_t         *body, *answer;
    unsigned        i;
    acr_text_t      name, sub;
    const char     *error;
    acr_access_t   *access;
    acr_change_e    code;
    unsigned char  *text, *last;

    static const struct {
        const char   *kind;
        const char   *name;
        int           method;
        const char   *sub;
        const char   *body;
        acr_change_e  code;
    } cases[] = {
        { "role-assignments", "fuzz", 'P', "",
          "{\"principal\":\"user:a\",\"role\":\"Owner\",\"scope\":\"*\"}",
          ACR_CHANGE_OK },
        { "scope-maps", "fuzz", 'P', "", "{\"actions\":[]}", ACR_CHANGE_OK },
        { "tokens", "fuzz", 'P', "", "{\"scopeMap\":\"fuzz\"}",
          ACR_CHANGE_OK },
        { "scope-maps", "fuzz", 'D', "", NULL, ACR_CHANGE_CONFLICT },
        { "tokens", "fuzz", 'G', "password2", NULL, ACR_CHANGE_OK },
        { "admin", "", 'P', "", "{\"enabled\":true}", ACR_CHANGE_OK },
        { "tokens", "fuzz", 'D', "", NULL, ACR_CHANGE_OK },
        { "scope-maps", "fuzz", 'D', "", NULL, ACR_CHANGE_OK },
        { "scope-maps", "fuzz", 'D', "", NULL, ACR_CHANGE_UNKNOWN }
    };

    last = NULL;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        name = text_of(cases[i].name);
        sub = text_of(cases[i].sub);
        body = cases[i].body ? json_loads(cases[i].body, 0, NULL) : NULL;

        text = acr_access_change(p, n, cases[i].kind, &name, cases[i].method,
                                 &sub, body, NOW, &len, &answer, &code,
                                 &error);

        check(code == cases[i].code);
        check((text != NULL) == (code == ACR_CHANGE_OK));
        check((error == NULL) == (code == ACR_CHANGE_OK));

        seen(answer);
        json_decref(body);

        if (text) {
            access = acr_access_load(text, len, &error);
            check(access != NULL);
            acr_access_free(access);

            free(last);
            last = text;
            p = text;
            n = len;
        }
    }

    free(last);
}


/* 1 if something of the file is called as what the changes make */

static int
taken(const acr_access_t *access)
{
    json_t      *json;
    unsigned     i;
    acr_text_t   name;

    static const char *const  kinds[] = {
        "tokens", "scope-maps", "role-assignments"
    };

    name = text_of("fuzz");

    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        json = acr_access_show(access, kinds[i], &name);

        if (json) {
            json_decref(json);
            return 1;
        }
    }

    return 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    int            free_names;
    const char    *error;
    acr_access_t  *access;

    access = acr_access_load(p, n, &error);

    if (access == NULL) {
        check(error != NULL && error[0]);
        return 0;
    }

    check(error == NULL);

    decisions(access);
    free_names = !taken(access);
    acr_access_free(access);

    if (free_names) {
        changes(p, n);
    }

    return 0;
}
