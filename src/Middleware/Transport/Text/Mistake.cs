namespace ByteStreams.Transport.Text;

/// <summary>Mistakes in options: told together, each a sentence that begins with its key.</summary>
internal static class Mistake
{
    /// <summary>An exception's message without the name of a parameter, which says nothing to whoever wrote a configuration.</summary>
    public static string Text(Exception error) => error is ArgumentException { ParamName: string parameter }
        ? error.Message.Replace($" (Parameter '{parameter}')", string.Empty, StringComparison.Ordinal)
        : error.Message;

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
