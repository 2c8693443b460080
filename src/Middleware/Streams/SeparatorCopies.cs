namespace ByteStreams;

/// <summary>
/// Copies of separators that callers pass as spans, which an asynchronous read cannot keep. Repeated calls with the same separator get the same
/// copy. The cache is direct-mapped: a fixed number of entries, and a collision replaces the entry. Thread-safe.
/// </summary>
internal static class SeparatorCopies
{
    /// <summary>The entries. A power of two, because the hash is masked.</summary>
    private const int Entries = 64;

    /// <summary>The longest separator that is cached: the cache holds 2 KiB of separators at most.</summary>
    private const int MaxLength = 32;

    // The arrays are never modified and a reference is written atomically, so that no lock is needed.
    private static readonly byte[]?[] Cached = new byte[Entries][];

    /// <summary>Returns a copy of <paramref name="separator"/>, which the caller does not modify.</summary>
    public static byte[] Get(ReadOnlySpan<byte> separator)
    {
        if (separator.Length > MaxLength)
        {
            return separator.ToArray();
        }

        int hash = separator.Length;
        foreach (byte value in separator)
        {
            hash = unchecked((hash * 31) + value);
        }

        ref byte[]? entry = ref Cached[hash & (Entries - 1)];
        byte[]? copy = Volatile.Read(ref entry);
        if (copy is null || !separator.SequenceEqual(copy))
        {
            copy = separator.ToArray();
            Volatile.Write(ref entry, copy);
        }

        return copy;
    }
}
