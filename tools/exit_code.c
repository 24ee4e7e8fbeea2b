/* exit_code.c - see exit_code.h. */

#include "tools/exit_code.h"

#include <stddef.h>
#include <string.h>

struct numbered {
	const char *msgid;
	int code;
};

static const struct numbered errors[] = {
	{ "CancelledByUser", 3 },
	{ "CommandError", 4 },
	{ "PlaceholderError", 5 },
	{ "InvalidPlaceholder", 6 },
	{ "Repository.AlreadyExists", 10 },
	{ "Repository.AtticRepository", 11 },
	{ "Repository.CheckNeeded", 12 },
	{ "Repository.DoesNotExist", 13 },
	{ "Repository.InsufficientFreeSpaceError", 14 },
	{ "Repository.InvalidRepository", 15 },
	{ "Repository.InvalidRepositoryConfig", 16 },
	{ "Repository.ObjectNotFound", 17 },
	{ "Repository.ParentPathDoesNotExist", 18 },
	{ "Repository.PathAlreadyExists", 19 },
	{ "Repository.StorageQuotaExceeded", 20 },
	{ "Repository.PathPermissionDenied", 21 },
	{ "MandatoryFeatureUnsupported", 25 },
	{ "Manifest.MandatoryFeatureUnsupported", 25 },
	{ "NoManifestError", 26 },
	{ "UnsupportedManifestError", 27 },
	{ "Archive.AlreadyExists", 30 },
	{ "Archive.DoesNotExist", 31 },
	{ "Archive.IncompatibleFilesystemEncodingError", 32 },
	{ "KeyfileInvalidError", 40 },
	{ "KeyfileMismatchError", 41 },
	{ "KeyfileNotFoundError", 42 },
	{ "NotABorgKeyFile", 43 },
	{ "RepoKeyNotFoundError", 44 },
	{ "RepoIdMismatch", 45 },
	{ "UnencryptedRepo", 46 },
	{ "UnknownKeyType", 47 },
	{ "UnsupportedPayloadError", 48 },
	{ "NoPassphraseFailure", 50 },
	{ "PasscommandFailure", 51 },
	{ "PassphraseWrong", 52 },
	{ "PasswordRetriesExceeded", 53 },
	{ "Cache.CacheInitAbortedError", 60 },
	{ "Cache.EncryptionMethodMismatch", 61 },
	{ "Cache.RepositoryAccessAborted", 62 },
	{ "Cache.RepositoryIDNotUnique", 63 },
	{ "Cache.RepositoryReplay", 64 },
	{ "LockError", 70 },
	{ "LockErrorT", 71 },
	{ "LockFailed", 72 },
	{ "LockTimeout", 73 },
	{ "NotLocked", 74 },
	{ "NotMyLock", 75 },
	{ "ConnectionClosed", 80 },
	{ "ConnectionClosedWithHint", 81 },
	{ "InvalidRPCMethod", 82 },
	{ "PathNotAllowed", 83 },
	{ "RemoteRepository.RPCServerOutdated", 84 },
	{ "UnexpectedRPCDataFormatFromClient", 85 },
	{ "UnexpectedRPCDataFormatFromServer", 86 },
	{ "ConnectionBrokenWithHint", 87 },
	{ "IntegrityError", 90 },
	{ "FileIntegrityError", 91 },
	{ "DecompressionError", 92 },
	{ "ArchiveTAMInvalid", 95 },
	{ "ArchiveTAMRequiredError", 96 },
	{ "TAMInvalid", 97 },
	{ "TAMRequiredError", 98 },
	{ "TAMUnsupportedSuiteError", 99 },
	{ NULL, 2 },
};

static const struct numbered warnings[] = {
	{ "FileChangedWarning", 100 },
	{ "IncludePatternNeverMatchedWarning", 101 },
	{ "BackupError", 102 },
	{ "BackupRaceConditionError", 103 },
	{ "BackupOSError", 104 },
	{ "BackupPermissionError", 105 },
	{ "BackupIOError", 106 },
	{ "BackupFileNotFoundError", 107 },
	{ "BackupSymlinkParentError", 108 },
	{ "BackupPathTraversalError", 109 },
	{ "BackupHardlinkSourceError", 110 },
	{ NULL, 1 },
};

static int number_of(const struct numbered *row, const char *msgid)
{
	while (row->msgid && (!msgid || strcmp(row->msgid, msgid) != 0))
		row++;
	return row->code;
}

int exit_code_error(const char *msgid)
{
	return number_of(errors, msgid);
}

int exit_code_warning(const char *msgid)
{
	return number_of(warnings, msgid);
}

enum exit_class exit_classify(int rc, bool modern)
{
	if (rc == 0)
		return EXIT_IS_SUCCESS;
	if (rc == 1 || (modern && rc >= 100 && rc <= 127))
		return EXIT_IS_WARNING;
	if (rc == 2 || (modern && rc >= 3 && rc <= 99))
		return EXIT_IS_ERROR;
	return rc >= 128 && rc <= 255 ? EXIT_IS_SIGNAL : EXIT_IS_OTHER;
}
