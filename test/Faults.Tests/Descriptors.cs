namespace ByteStreams.Faults.Tests;

/// <summary>Open descriptors of a process.</summary>
internal static class Descriptors
{
    /// <summary>How many there are, by what they are.</summary>
    public static IReadOnlyDictionary<string, int> Of(int process)
    {
        var kinds = new Dictionary<string, int>();
        foreach (string link in Directory.EnumerateFileSystemEntries($"/proc/{process}/fd"))
        {
            string target;
            try
            {
                target = new FileInfo(link).LinkTarget ?? string.Empty;
            }
            catch (IOException)
            {
                // Closed since it was listed, as the listing's own is.
                continue;
            }

            string kind = target.Split(':')[0];
            kinds[kind] = kinds.GetValueOrDefault(kind) + 1;
        }

        return kinds;
    }

    /// <summary>Sockets alone: threads and files of the runtime come and go.</summary>
    public static int SocketsOf(int process) => Of(process).GetValueOrDefault("socket");
}
