/* SPDX-License-Identifier: Apache-2.0
 *
 * A pinpad for tests: OpenSC's PKCS#11 module, logged in from outside the browser.
 *
 * It hands on OpenSC's functions but two: a token says that it needs no login, and the first session that is still
 * public is logged in with the PIN in the file that ETYMON_TEST_PIN_FILE names. A PIN is tried once in the life of a
 * process: a refused one must not use up the card's tries. Never for people: who has the file has the card.
 */
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static CK_FUNCTION_LIST_PTR opensc;
static CK_FUNCTION_LIST shim;
static int refused;

static CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
	CK_RV result = opensc->C_GetTokenInfo(slot, info);
	if (result == CKR_OK)
		info->flags &= ~(CK_FLAGS)CKF_LOGIN_REQUIRED;
	return result;
}

static void log_in(CK_SESSION_HANDLE session)
{
	CK_SESSION_INFO info;
	char pin[16] = "";
	const char *path = getenv("ETYMON_TEST_PIN_FILE");
	FILE *file = path ? fopen(path, "r") : NULL;

	if (!file)
		return;
	if (fgets(pin, sizeof(pin), file) && !refused && opensc->C_GetSessionInfo(session, &info) == CKR_OK
	    && (info.state == CKS_RO_PUBLIC_SESSION || info.state == CKS_RW_PUBLIC_SESSION))
	{
		pin[strcspn(pin, "\n")] = '\0';
		CK_RV result = opensc->C_Login(session, CKU_USER, (CK_UTF8CHAR_PTR)pin, strlen(pin));
		refused = result != CKR_OK && result != CKR_USER_ALREADY_LOGGED_IN;
	}
	fclose(file);
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR application, CK_NOTIFY notify,
                          CK_SESSION_HANDLE_PTR session)
{
	CK_RV result = opensc->C_OpenSession(slot, flags, application, notify, session);
	if (result == CKR_OK)
		log_in(*session);
	return result;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
	if (!opensc) {
		void *library = dlopen(OPENSC_MODULE, RTLD_NOW);
		CK_C_GetFunctionList get = library ? (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList") : NULL;
		if (!get || get(&opensc) != CKR_OK)
			return CKR_GENERAL_ERROR;
		shim = *opensc;
		shim.C_GetFunctionList = C_GetFunctionList;
		shim.C_GetTokenInfo = get_token_info;
		shim.C_OpenSession = open_session;
	}
	*list = &shim;
	return CKR_OK;
}
