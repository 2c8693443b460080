namespace ByteStreams.Fuzz;

/// <summary>What a target demands. A failure is an exception that nothing of the library throws or catches.</summary>
internal static class Demand
{
    public static void That(bool holds, string otherwise) => That(holds, () => otherwise);

    /// <summary>With a message that is only made where it is needed.</summary>
    public static void That(bool holds, Func<string> otherwise)
    {
        if (!holds)
        {
            throw new InvalidDataException(otherwise());
        }
    }
}
