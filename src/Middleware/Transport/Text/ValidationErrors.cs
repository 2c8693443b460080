namespace ByteStreams.Transport.Text;

/// <summary>Validation errors of options: reported together, each a sentence that begins with its key.</summary>
internal static class ValidationErrors
{
    /// <summary>Returns an exception's message without the parameter's name, which has no meaning in a configuration.</summary>
    public static string GetMessage(Exception error) => error is ArgumentException { ParamName: string parameter }
        ? error.Message.Replace($" (Parameter '{parameter}')", string.Empty, StringComparison.Ordinal)
        : error.Message;

    /// <summary>Throws if there are errors, with all of them in the message.</summary>
    /// <exception cref="ArgumentException">There is at least one error.</exception>
    public static void ThrowIfAny(IEnumerable<string> errors)
    {
        string all = string.Join(' ', errors);
        if (all.Length > 0)
        {
            throw new ArgumentException(all);
        }
    }
}
