/* SPDX-License-Identifier: Apache-2.0
 *
 * A token with faults for tests: SoftHSM, and in front of it what a device does when it is unplugged, restarted or stuck.
 *
 * A test that has loaded this module calls `shim_fail`, `shim_hang` and so on; `shim_logins` counts C_Login.
 */
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <string.h>
#include <unistd.h>

static CK_FUNCTION_LIST_PTR softhsm;
static CK_FUNCTION_LIST shim;
static volatile CK_RV answer = CKR_OK;
static volatile int failures, hanging, logins, initializations;
static volatile CK_FLAGS further_flags;

void shim_fail(unsigned long result, int times) { answer = result; failures = times; }
void shim_hang(int on) { hanging = on; }
static volatile int unplugged;
void shim_unplug(CK_SLOT_ID slot, int on)
{
	unplugged = on;
	if (on)
		softhsm->C_CloseAllSessions(slot); /* as removal does, PKCS#11 v2.40 §5.6 */
}
void shim_flags(unsigned long flags) { further_flags = flags; }
int shim_logins(void) { return logins; }
int shim_initializations(void) { return initializations; }

static CK_RV initialize(CK_VOID_PTR arguments)
{
	initializations++;
	return softhsm->C_Initialize(arguments);
}

static CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
	CK_RV result = unplugged ? CKR_TOKEN_NOT_PRESENT : softhsm->C_GetTokenInfo(slot, info);
	info->flags |= further_flags;
	return result;
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR application, CK_NOTIFY notify,
                          CK_SESSION_HANDLE_PTR session)
{
	return unplugged ? CKR_DEVICE_REMOVED : softhsm->C_OpenSession(slot, flags, application, notify, session);
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG length)
{
	__sync_add_and_fetch(&logins, 1);
	return softhsm->C_Login(session, user, pin, length);
}

static CK_RV find_objects_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR template, CK_ULONG count)
{
	while (hanging)
		usleep(1000);
	return softhsm->C_FindObjectsInit(session, template, count);
}

static int fails(void)
{
	return failures > 0 && __sync_fetch_and_sub(&failures, 1) > 0;
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG length, CK_BYTE_PTR signature,
                  CK_ULONG_PTR signature_length)
{
	while (hanging)
		usleep(1000);
	if (fails())
		return answer;
	return softhsm->C_Sign(session, data, length, signature, signature_length);
}

/* The call that fails ends what was begun all the same, PKCS#11 v2.40 §5.8.2 and §5.9.2. */
static CK_RV encrypt(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG length, CK_BYTE_PTR encrypted,
                     CK_ULONG_PTR encrypted_length)
{
	int failing = encrypted && fails();
	CK_RV result = softhsm->C_Encrypt(session, data, length, encrypted, encrypted_length);
	return failing ? answer : result;
}

static CK_RV decrypt(CK_SESSION_HANDLE session, CK_BYTE_PTR encrypted, CK_ULONG length, CK_BYTE_PTR data,
                     CK_ULONG_PTR data_length)
{
	int failing = data && fails();
	CK_RV result = softhsm->C_Decrypt(session, encrypted, length, data, data_length);
	return failing ? answer : result;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
	if (!softhsm) {
		void *library = dlopen(SOFTHSM_MODULE, RTLD_NOW);
		CK_C_GetFunctionList get = library ? (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList") : NULL;
		if (!get || get(&softhsm) != CKR_OK)
			return CKR_GENERAL_ERROR;
		shim = *softhsm;
		shim.C_GetFunctionList = C_GetFunctionList;
		shim.C_Initialize = initialize;
		shim.C_GetTokenInfo = get_token_info;
		shim.C_OpenSession = open_session;
		shim.C_Login = login;
		shim.C_FindObjectsInit = find_objects_init;
		shim.C_Sign = sign;
		shim.C_Encrypt = encrypt;
		shim.C_Decrypt = decrypt;
	}
	*list = &shim;
	return CKR_OK;
}
