namespace StreamsHost.Commands;

/// <summary>Texts in the program's file.</summary>
internal static class EmbeddedText
{
    /// <summary>Reads the resource of this name.</summary>
    public static string Read(string name)
    {
        using Stream resource = typeof(EmbeddedText).Assembly.GetManifestResourceStream(name)!;
        using var reader = new StreamReader(resource);
        return reader.ReadToEnd();
    }
}
