namespace ByteStreams.Tests;

/// <summary>The files that the tests were built from.</summary>
internal static class Repository
{
    public static string Root { get; } = Find();

    /// <summary>The folder of the tests that run.</summary>
    private static string Project { get; } = string.Join('/', Path.GetRelativePath(Root, AppContext.BaseDirectory).Split(Path.DirectorySeparatorChar).Take(2));

    public static string Read(string path) => File.ReadAllText(Path.Combine(Root, path)).ReplaceLineEndings("\n");

    /// <summary>The source files under a folder, by their paths within it.</summary>
    public static IEnumerable<string> Files(string folder, string pattern)
    {
        string root = Path.Combine(Root, folder);
        return Directory.EnumerateFiles(root, pattern, SearchOption.AllDirectories)
            .Select(path => Path.GetRelativePath(root, path))
            .Where(path => !path.StartsWith("obj", StringComparison.Ordinal) && !path.StartsWith("bin", StringComparison.Ordinal));
    }

    /// <summary>
    /// Fails where a file is not what the code says; with <c>BYTESTREAMS_REGENERATE=1</c> in the environment it is written instead.
    /// </summary>
    public static void Compare(string path, Type tests, Func<string, string> generate)
    {
        string current = Read(path);
        string generated = generate(current);
        if (Environment.GetEnvironmentVariable("BYTESTREAMS_REGENERATE") == "1")
        {
            File.WriteAllText(Path.Combine(Root, path), generated);
        }
        else
        {
            Assert.True(
                current == generated,
                $"{path} is not what the code says. Regenerate it with: BYTESTREAMS_REGENERATE=1 dotnet run --project {Project} -- -method '*.{tests.Name}.Generate_*'");
        }
    }

    private static string Find()
    {
        string? folder = AppContext.BaseDirectory;
        while (folder is not null && !File.Exists(Path.Combine(folder, "StreamsHost.sln")))
        {
            folder = Path.GetDirectoryName(folder);
        }

        return folder ?? throw new InvalidOperationException("The tests do not run within the repository.");
    }
}
