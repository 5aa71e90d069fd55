
#include "acr_rules.h"
#include "fuzz.h"

#define NOW  1790000000


static void
whole(const acr_rules_t *rules)
{
    size_t      i, j;
    json_t     *json;

    check(rules->n <= ACR_RULES_MAX);

    for (i = 0; i < rules->n; i++) {
        check(acr_rules_find(rules, &rules->entries[i].name) == i);
        check(rules->entries[i].valid >= 0);

        for (j = 0; j < i; j++) {
            check(!acr_rule_overlaps(&rules->entries[i].rule,
                                     &rules->entries[j].rule));
        }

        json = acr_rules_show(rules, i);
        check(json != NULL);
        json_decref(json);
    }
}


/* what comes out of a change can be loaded */

static void
change(const uint8_t *p, size_t n, int method, const json_t *body)
{
    size_t          len;
    acr_text_t      name;
    const char     *error;
    acr_rules_t    *rules;
    acr_change_e    code;
    unsigned char  *text;

    /* any text may be a name: the end of it */

    name.len = n < 10 ? n : 10;
    name.data = name.len ? p + n - name.len : (const unsigned char *) "";

    text = acr_rules_change(p, n, &name, method, body, NOW, &len, &code,
                            &error);

    check((text != NULL) == (code == ACR_CHANGE_OK));
    check((text != NULL) == (error == NULL));

    if (text) {
        rules = acr_rules_load(text, len, &error);
        check(rules != NULL);
        check((acr_rules_find(rules, &name) < rules->n) == (method == 'P'));

        acr_rules_free(rules);
        free(text);
    }
}


/* as a document, and as what a client has sent */

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    json_t       *body;
    const char   *error;
    acr_rules_t  *rules;

    rules = acr_rules_load(p, n, &error);

    check((rules != NULL) == (error == NULL));

    if (rules) {
        whole(rules);
        acr_rules_free(rules);
    }

    change(p, n, 'D', NULL);

    body = json_loadb((const char *) p, n, JSON_REJECT_DUPLICATES, NULL);
    change(NULL, 0, 'P', body);
    json_decref(body);

    return 0;
}
