namespace ByteStreams.Configuration;

/// <summary>Mistakes in options: told together, each a sentence that begins with its key.</summary>
internal static class Mistake
{
    /// <exception cref="ArgumentException">There is any; the message has them all.</exception>
    public static void ThrowIfAny(IEnumerable<string> mistakes)
    {
        string all = string.Join(' ', mistakes);
        if (all.Length > 0)
        {
            throw new ArgumentException(all);
        }
    }
}
